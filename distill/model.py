"""DistillModel: the student, what only its training needs, and the terms of the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acula_edge.data.metrics import logit_slices
from acula_edge.data.tasks import Task
from acula_edge.ema import Ema
from acula_edge.students.student import Student
from distill import losses
from distill.batches import Batch
from distill.config import DistillConfig, Precision


@dataclass(frozen=True)
class Heard:
    """A batch and what the student says of it: `embedding` (B, E), `projected` (B, D), `logits` (B, K)."""

    batch: Batch
    embedding: Tensor
    projected: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Terms:
    """What the terms of the loss need besides a batch; `reports` (n, E) are the training reports."""

    tasks: tuple[Task, ...]
    config: DistillConfig

    def of(self, heard: Heard, reports: Tensor) -> dict[str, Tensor]:
        """The weighted parts of the loss; a term of weight 0 is not computed."""
        forms = self._forms(heard, reports)
        return {name: weight * forms[name]() for name, weight in self.config.weights.used.items()}

    def _forms(self, heard: Heard, reports: Tensor) -> dict[str, Callable[[], Tensor]]:
        config, batch, slices = self.config, heard.batch, logit_slices(self.tasks)
        sharpness = config.cosine_temperature
        return {
            "embedding": lambda: losses.embedding_loss(heard.projected, batch.embedding),
            "cosine": lambda: losses.cosine_loss(heard.projected, batch.embedding),
            "distance": lambda: losses.distance_loss(heard.embedding, batch.embedding),
            "angle": lambda: losses.angle_loss(heard.embedding, batch.embedding),
            "gram": lambda: losses.gram_loss(heard.embedding, batch.embedding),
            "contrastive": lambda: losses.contrastive_loss(heard.projected, batch.embedding, sharpness),
            "logits": lambda: losses.logit_loss(
                heard.logits, batch.logits, self.tasks, slices, config.logit_temperature, batch.domain
            ),
            "labels": lambda: losses.task_loss(heard.logits, batch.labels, self.tasks, slices),
            "semantic": lambda: losses.semantic_loss(heard.embedding, batch.aligned),
            "reports": lambda: losses.report_loss(heard.embedding, batch.report, reports, sharpness),
        }


class DistillModel(nn.Module):
    """The student, the average of its weights, and a linear projector into the teacher's embeddings.

    The relational terms compare embeddings as they are: a projector could hide how they lie to each other.
    """

    reports: Tensor

    def __init__(
        self,
        student: Student,
        teacher_dim: int,
        tasks: tuple[Task, ...],
        reports: Tensor,
        config: DistillConfig,
    ) -> None:
        super().__init__()
        self.student = student
        self.projector = nn.Linear(config.student.embedding_dim, teacher_dim)
        self.average = Ema(student, config.ema_decay)
        self.register_buffer("reports", reports, persistent=False)
        self._terms = Terms(tasks, config)
        self._half = config.precision is Precision.BF16

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted parts of the loss of a batch, in float32 whatever the student computes in."""
        with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=self._half):
            embedding, logits = self.student(batch.features)
        embedding, logits = embedding.float(), logits.float()
        heard = Heard(batch, embedding, self.projector(embedding), logits)
        return self._terms.of(heard, self.reports)

    def follow(self) -> None:
        """Take the student's weights after a step into their average."""
        self.average.follow(self.student)
