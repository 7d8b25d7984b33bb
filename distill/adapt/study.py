"""Study: epochs of SGD on the device; an epoch that the guards refuse is undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acula_edge.errors import DataError
from acula_edge.progress import say
from distill.adapt.config import AdaptConfig
from distill.adapt.exam import Mark, refused
from distill.adapt.lesson import Lesson
from distill.adapt.trainer import DeviceTrainer


@dataclass(frozen=True)
class Epoch:
    """One epoch: its learning rate and mean training loss, its mark, and why it was refused (none: taken)."""

    epoch: int
    learning_rate: float
    loss: float
    mark: Mark
    refused: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "mark": self.mark.to_json()}


@dataclass(frozen=True)
class Studied:
    """Every epoch, the mark of the weights that were kept, and the seconds of each epoch's training."""

    epochs: list[Epoch]
    best: Mark
    seconds: list[float]

    @property
    def accepted(self) -> int:
        """Epochs that were taken."""
        return sum(not epoch.refused for epoch in self.epochs)


def study(trainer: DeviceTrainer, lessons: Lesson, sit: Callable[[], Mark], config: AdaptConfig) -> Studied:
    """Train on `lessons` and leave `trainer` with the weights of the last accepted epoch, or its first ones.

    `sit` gives the mark of the trainer's present weights. Raises DataError if the lessons fill no batch.
    """
    rng = np.random.default_rng(config.seed)
    rate, best, kept, in_a_row = config.learning_rate, sit(), trainer.state(), 0
    epochs: list[Epoch] = []
    seconds: list[float] = []
    trainer.optimise_with(rate, config.momentum)
    while len(epochs) < config.epochs and in_a_row < config.patience:
        began = time.perf_counter()
        loss = _learn(trainer, lessons, config.lesson.batch_size, rng)
        seconds.append(time.perf_counter() - began)
        mark = sit()
        reasons = refused(mark, best, config)
        epochs.append(Epoch(len(epochs), rate, loss, mark, tuple(reasons)))
        say(f"adapt {len(epochs)}/{config.epochs}: loss {mark.agreement.loss:.4f} {'; '.join(reasons)}")
        if reasons:
            trainer.restore(kept)
            rate, in_a_row = rate / 2, in_a_row + 1
            trainer.optimise_with(rate, config.momentum)
        else:
            best, kept, in_a_row = mark, trainer.state(), 0
    return Studied(epochs, best, seconds)


def _learn(trainer: DeviceTrainer, lessons: Lesson, batch_size: int, rng: np.random.Generator) -> float:
    losses = []
    for rows in _batches(len(lessons), batch_size, rng):
        loss, _, _ = trainer.learn(lessons.take(rows))
        trainer.step()
        losses.append(loss)
    return float(np.mean(losses))


def _batches(count: int, batch_size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Whole batches only; what does not fill one waits for another epoch."""
    if count < batch_size:
        raise DataError(
            f"{count} clips are left to learn from, and a batch is {batch_size}; give more recordings"
        )
    order = torch.from_numpy(rng.permutation(count))
    return (rows for rows in torch.split(order, batch_size) if len(rows) == batch_size)
