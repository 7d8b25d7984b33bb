"""Pre-training of an encoder that has no weights of its own, by its self-supervised loss alone."""

from __future__ import annotations

from pathlib import Path

from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.lessons import unpaired
from acula_edge.teacher.pairs import Pairs


def pretrain(encoder: AudioEncoder, train: Pairs, val: Pairs, config: TeacherConfig, work: Path) -> None:
    """Train all of `encoder` in place on the training audio; the reports are not used.

    The checkpoint lies in `work`.
    """
    alone = config.model_copy(
        update={
            "epochs": config.pretrain_epochs,
            "learning_rate": config.pretrain_learning_rate,
            "encoder_rate": 1.0,
            "ssl_weight": 1.0,
        }
    )
    model = AlignmentModel(encoder, train.texts.shape[-1], alone)
    align(model, unpaired(train), unpaired(val), alone, work, "pretrain")
