"""Exam: hold-out clips of the device and golden clips of other patients, by which an update is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from acula_edge.data.tasks import Task
from acula_edge.errors import GateError
from acula_edge.runtime.runner import Outputs
from acula_edge.students.space import TextSpace
from distill.adapt.config import AdaptConfig, LessonConfig
from distill.adapt.guards import Agreement, Floats, agreement, drift, refusals
from distill.adapt.lesson import Lesson, lesson_loss


@dataclass(frozen=True)
class Paper:
    """Answers to the exam: to the hold-out clips (n, ...), and embeddings (g, E) of the golden clips."""

    holdout: Outputs
    golden: Floats


@dataclass(frozen=True)
class Mark:
    """How far the answers agree with the teacher, and how far the text scores moved from the first paper."""

    agreement: Agreement
    drift: float

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**self.agreement.to_json(), "drift": self.drift}


@dataclass(frozen=True)
class Exam:
    """Targets of the hold-out clips; `first` is the paper of the model as it was shipped."""

    targets: Lesson
    first: Paper
    space: TextSpace
    tasks: tuple[Task, ...]
    lesson: LessonConfig

    def mark(self, paper: Paper) -> Mark:
        """Judge a paper."""
        embedding, logits = paper.holdout.embedding, paper.holdout.logits
        answers = torch.from_numpy(embedding), torch.from_numpy(logits)
        loss = float(lesson_loss(*answers, self.targets, self.tasks, self.lesson))
        wanted = self.targets.embedding.numpy(), self.targets.logits.numpy()
        moved = drift(self.space, self._task_names(), self.first.golden, paper.golden)
        return Mark(agreement(loss, embedding, logits, *wanted), moved)

    def _task_names(self) -> Sequence[str]:
        return [task.name for task in self.tasks]


def refused(found: Mark, best: Mark, config: AdaptConfig) -> list[str]:
    """Why a model must not be accepted after `best`; none: it may."""
    reasons = refusals(found.agreement, best.agreement)
    if not found.drift <= config.max_drift:
        reasons.append(f"text scores moved by {found.drift:.3f}, more than {config.max_drift:g}")
    return reasons


def require_teacher(mark: Mark, config: AdaptConfig) -> None:
    """GateError if model and teacher agree too little for the one to learn from the other."""
    for name in ("centred", "rank"):
        value = getattr(mark.agreement, name)
        if not value >= config.min_agreement:
            raise GateError(
                f"the teacher does not agree with the model on these recordings to start with ({name} "
                f"{value:.3f}, at least {config.min_agreement:g} is asked for): nothing was learned; "
                "look at the recordings and at the teacher"
            )
