"""Alignment: the frozen language model's report embeddings teach the audio encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from acula_edge.checkpoint import EpochRecord, Schedule, Training, fit
from acula_edge.encoders.projection import ProjectionHead
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.teacher.board import open_board
from acula_edge.teacher.config import Precision, TeacherConfig
from acula_edge.teacher.distributed import Processes
from acula_edge.teacher.gradcache import represent
from acula_edge.teacher.losses import AlignmentLoss
from acula_edge.teacher.pairs import PairBatch, Pairs, source_batches
from acula_edge.teacher.tuning import merge, rest_frozen_parts, tune

_FEWEST_PAIRS = 4  # of two recordings CKA is always 1, and its unbiased form is not defined for three


class AlignmentModel(nn.Module):
    """An audio encoder and the two projection heads into the shared space."""

    def __init__(self, encoder: AudioEncoder, text_dim: int, config: TeacherConfig) -> None:
        super().__init__()
        shape = (config.projection_hidden, config.projection_dim, config.dropout)
        self.encoder = encoder
        self.audio_head = ProjectionHead(encoder.dim, *shape)
        self.text_head = ProjectionHead(text_dim, *shape)
        self.agreement = AlignmentLoss(config.alignment)
        self._config = config

    def represent(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """Projected audio (B, d) and text (B, d), `paired` (B,), then the encoder's SSL views.

        All are float32: the losses are not computed in bf16.
        """
        half = self._config.precision is Precision.BF16
        with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=half):
            hidden = batch.inputs if batch.cached else self.encoder.trunk(batch.inputs)
            frames = self.encoder.top(hidden)
            audio = self.audio_head(self.encoder.pool(frames))
            text = self.text_head(batch.texts)
            views = self.encoder.ssl_views(None if batch.cached else batch.inputs, frames)
        found = (audio, text, batch.paired, *views)
        return tuple(part.float() for part in found) if half else found

    def parts(self, representations: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The weighted parts of the loss, `align` over the clips that have a report, and `ssl`."""
        audio, text, paired, *views = representations
        told = paired > 0.5
        agree = told.sum() >= _FEWEST_PAIRS
        aligned = self.agreement(audio[told], text[told]) if agree else 0.0 * audio.sum()
        return {
            "align": self._config.alignment_weight * aligned,
            "ssl": self._config.ssl_weight * self.encoder.ssl_loss(*views),
        }

    def loss(self, representations: tuple[Tensor, ...]) -> Tensor:
        """alignment_weight * L_align + ssl_weight * L_ssl (AcuLA, section 3)."""
        parts = self.parts(representations)
        return parts["align"] + parts["ssl"]

    def train(self, mode: bool = True) -> AlignmentModel:
        """As always; but what is frozen keeps its statistics and drops nothing out."""
        super().train(mode)
        rest_frozen_parts(self.encoder)
        return self


def align(
    model: AlignmentModel,
    train: Pairs,
    val: Pairs,
    config: TeacherConfig,
    work: Path,
    label: str,
    validate: Callable[[], float] | None = None,
) -> list[EpochRecord]:
    """Train `model` in place; it keeps the weights of the best validation score, as plain layers.

    `validate()` scores `model.encoder`, higher is better; without it the score is minus the loss on the
    validation pairs. The checkpoint `<label>.safetensors` and TensorBoard's files lie in `work`. Where
    torchrun started several processes, each takes its share of every batch, and all end with the same
    weights; but batch normalisation keeps each process's own running statistics.
    """
    processes = Processes.here()
    tune(model.encoder, config.tuning)
    model.to(processes.device)

    def loss(batch: PairBatch) -> dict[str, Tensor]:
        return batch_parts(model, batch, config.micro_batch, processes)

    def draw(_epoch: int, rng: np.random.Generator) -> Iterator[PairBatch]:
        return _draw(train, config, rng)

    def score() -> float:
        model.eval()
        return validate() if validate else -validation_loss(model, val, config, processes.device)

    training = Training(model, draw, loss, score, _rate_of(config))
    board = open_board(work / "tensorboard" / label, processes.main)
    checkpoint = work / f"{label}.safetensors"
    history = fit(training, _schedule(config, train), checkpoint, f"align {label}", processes, board)
    merge(model.encoder)
    model.to("cpu")
    return history


def batch_parts(
    model: AlignmentModel, batch: PairBatch, micro_batch: int | None, processes: Processes
) -> dict[str, Tensor]:
    """The parts of the loss of the whole batch, of which this process represents its share."""
    mine = batch.rows(processes.share(len(batch))).to(processes.device)
    own = represent(model, mine, micro_batch)
    return model.parts(processes.whole(own, len(batch)))


@torch.no_grad()
def validation_loss(
    model: AlignmentModel, val: Pairs, config: TeacherConfig, device: torch.device | None = None
) -> float:
    """Mean loss over the validation pairs, on crops and batches that do not change between epochs."""
    model.eval()
    batches = _draw(val, config, np.random.default_rng([config.seed, len(val.sources)]))
    device = device or torch.device("cpu")
    losses = [float(model.loss(represent(model, batch.to(device), config.micro_batch))) for batch in batches]
    return float(np.mean(losses))


def _draw(pairs: Pairs, config: TeacherConfig, rng: np.random.Generator) -> Iterator[PairBatch]:
    batches = source_batches(pairs.sources, config.batch_size, rng)
    return (pairs.batch(indices, config.crop_seconds, rng) for indices in batches)


def _schedule(config: TeacherConfig, train: Pairs) -> Schedule:
    batches = source_batches(train.sources, config.batch_size, np.random.default_rng(config.seed))
    return Schedule(
        epochs=config.epochs,
        steps_per_epoch=len(batches),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        seed=config.seed,
        patience=config.patience,
    )


def _rate_of(config: TeacherConfig) -> Callable[[str], float]:
    """Pretrained weights learn at `encoder_rate`; heads and low-rank changes are new."""

    def rate_of(name: str) -> float:
        new = not name.startswith("encoder.") or "lora_" in name or name.startswith("encoder.similarity.")
        return 1.0 if new else config.encoder_rate

    return rate_of
