"""Lesson: one batch's loss on the device, what the student should say and what it says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acula_edge.data.metrics import logit_slices
from acula_edge.data.tasks import Task
from distill.adapt.config import LessonConfig
from distill.adapt.tail import Tail
from distill.losses import logit_loss


@dataclass(frozen=True)
class Lesson:
    """Maps (n, C, h, w) of the trunk, and the targets: embeddings (n, E), logits (n, K); float32."""

    maps: Tensor
    embedding: Tensor
    logits: Tensor

    def __len__(self) -> int:
        return len(self.maps)

    def take(self, rows: Tensor) -> Lesson:
        """Some of the rows."""
        return Lesson(self.maps[rows], self.embedding[rows], self.logits[rows])

    @classmethod
    def join(cls, parts: list[Lesson]) -> Lesson:
        """One after the other."""
        columns = zip(*((part.maps, part.embedding, part.logits) for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))


def lesson_loss(
    embedding: Tensor, logits: Tensor, lesson: Lesson, tasks: tuple[Task, ...], config: LessonConfig
) -> Tensor:
    """The loss of `config`, a scalar; its least value is the part that the teacher's doubt has in the logits.

    The embedding's part is sum |e - t|^2 / sum |t|^2: for vectors as long as their targets, twice 1 - cosine.
    """
    missed = (embedding - lesson.embedding).square().sum() / lesson.embedding.square().sum()
    divergence = logit_loss(logits, lesson.logits, tasks, logit_slices(tasks), config.temperature)
    return config.embedding_weight * missed + config.logit_weight * divergence


class LessonGraph(nn.Module):
    """The graph of `adapt.pte`: a batch in; its loss, embeddings and logits out."""

    def __init__(self, tail: Tail, tasks: tuple[Task, ...], config: LessonConfig) -> None:
        super().__init__()
        self.tail = tail
        self._tasks, self._config = tasks, config

    def forward(self, maps: Tensor, embedding: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Only the loss has a gradient."""
        own_embedding, own_logits = self.tail(maps)
        lesson = Lesson(maps, embedding, logits)
        loss = lesson_loss(own_embedding, own_logits, lesson, self._tasks, self._config)
        return loss, own_embedding.detach(), own_logits.detach()
