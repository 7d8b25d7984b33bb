"""Pre-training of an encoder that has no weights of its own, by its self-supervised loss alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acula_edge.checkpoint import Schedule, fit
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.teacher.align import Pairs, crops
from acula_edge.teacher.config import TeacherConfig


def pretrain(
    encoder: AudioEncoder, train: Pairs, val: Pairs, config: TeacherConfig, checkpoint: Path
) -> None:
    """Train `encoder` in place on the training audio; the reports are not used."""
    samples = round(config.crop_seconds * encoder.contract.sample_rate_hz)
    n_batches = len(_batches(train, config, np.random.default_rng(config.seed)))
    schedule = Schedule(
        epochs=config.pretrain_epochs,
        steps_per_epoch=n_batches,
        learning_rate=config.pretrain_learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        seed=config.seed,
    )

    def draw(_epoch: int, rng: np.random.Generator) -> Iterator[Tensor]:
        return (crops(train, indices, samples, rng) for indices in _batches(train, config, rng))

    def loss(audio: Tensor) -> Tensor:
        return encoder.ssl_loss(*encoder.ssl_views(audio, encoder.frames(audio)))

    @torch.no_grad()
    def score() -> float:
        encoder.eval()
        rng = np.random.default_rng([config.seed, len(val.sources)])
        losses = [loss(crops(val, indices, samples, rng)) for indices in _batches(val, config, rng)]
        return -float(torch.stack(losses).mean())

    fit(encoder, draw, loss, score, schedule, checkpoint, "pre-train")


def _batches(pairs: Pairs, config: TeacherConfig, rng: np.random.Generator) -> list[np.ndarray]:
    order = rng.permutation(len(pairs.sources))
    return np.array_split(order, max(1, round(order.size / config.batch_size)))
