"""Decisions: what a bundle says of a recording beyond a probability, frozen on validation recordings.

`thresholds.json` of a bundle. A binary task's probability is that of its positive class, calibrated by one
temperature (Guo et al., "On calibration of modern neural networks", ICML 2017). From `abstain_from` to
`abstain_to`, both included, the bundle abstains; elsewhere the threshold decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import logit_slices, probabilities
from acula_edge.data.tasks import Task
from acula_edge.evidence.results import Frozen


class Decision(StrEnum):
    """What is said of a recording."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    ABSTAIN = "abstain"


class Rule(Frozen):
    """The decision rule of a binary task, on calibrated probabilities.

    `threshold` was chosen by `chosen_by`. Of each class, at most 1 - `coverage` of exchangeable recordings
    are decided wrongly (class-conditional split conformal prediction: Vovk, "Conditional validity of
    inductive conformal predictors", ACML 2012).
    """

    threshold: float
    chosen_by: str
    abstain_from: float
    abstain_to: float
    coverage: float

    def decide(self, probability: float) -> Decision:
        """What is said where the positive class has this calibrated probability."""
        if self.abstain_from <= probability <= self.abstain_to:
            return Decision.ABSTAIN
        return Decision.POSITIVE if probability >= self.threshold else Decision.NEGATIVE


class TaskDecision(Frozen):
    """One task: its temperature, and a rule if it is binary and validation shows both of its classes.

    `counts` are the validation recordings of each class.
    """

    task: str
    temperature: float
    rule: Rule | None
    counts: tuple[int, ...]


class Decisions(Frozen):
    """thresholds.json: the tasks in the order of the logits."""

    tasks: tuple[TaskDecision, ...]

    @classmethod
    def without_rules(cls, tasks: Sequence[Task]) -> Decisions:
        """For a model whose scores no validation recording has seen: nothing is calibrated or decided."""
        return cls(
            tasks=tuple(TaskDecision(task=task.name, temperature=1.0, rule=None, counts=()) for task in tasks)
        )

    def calibrated(self, tasks: Sequence[Task], logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (..., K) divided by the temperature of their task."""
        scale = np.concatenate(
            [np.full(task.n_logits, found.temperature) for task, found in zip(tasks, self.tasks, strict=True)]
        )
        return np.asarray(logits / scale, dtype=np.float64)

    def decide(self, tasks: Sequence[Task], logits: NDArray[np.floating]) -> dict[str, Decision]:
        """The decision on one recording, logits (K,), for each task that has a rule."""
        found = {}
        for task, own, positive in positives(self, tasks, logits[None]):
            if own.rule is not None:
                found[task.name] = own.rule.decide(float(positive[0]))
        return found


def positives(
    decisions: Decisions, tasks: Sequence[Task], logits: NDArray[np.floating]
) -> list[tuple[Task, TaskDecision, NDArray[np.float64]]]:
    """Of each binary task: calibrated probabilities (n,) of its positive class, from logits (n, K)."""
    scaled, slices = decisions.calibrated(tasks, logits), logit_slices(tuple(tasks))
    return [
        (task, own, probabilities(task, scaled[:, slices[task.name]])[:, 1])
        for task, own in zip(tasks, decisions.tasks, strict=True)
        if task.n_logits == 1
    ]
