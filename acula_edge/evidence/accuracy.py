"""Accuracy: from stored logits to scores with intervals; the same logits always give the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import logit_slices
from acula_edge.data.tasks import Task
from acula_edge.evidence.cohort import Cohort
from acula_edge.evidence.intervals import Draws, average_draws, mean_draws, resample, task_draws
from acula_edge.evidence.results import Accuracy, Difference, Estimate, SystemAccuracy, TaskCohort

Logits = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class System:
    """Something that gives logits: its name in files, its title for people, and what it ran in."""

    name: str
    title: str
    ran_in: str


@dataclass(frozen=True)
class Panel:
    """What is compared, in the order of the reports; the tuples are (system, against, what it shows)."""

    systems: tuple[System, ...]
    comparisons: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class _Scored:
    """One system, or the difference of two: draws for every task, and for their mean."""

    tasks: dict[str, Draws]
    mean: Draws

    def __sub__(self, other: _Scored) -> _Scored:
        paired = {name: found - other.tasks[name] for name, found in self.tasks.items()}
        return _Scored(paired, self.mean - other.mean)

    def estimates(self) -> dict[str, Estimate]:
        return {name: found.estimate() for name, found in self.tasks.items()}


def evaluate(
    tasks: Sequence[Task], cohort: Cohort, logits: Logits, panel: Panel, resamples: int, seed: int
) -> Accuracy:
    """Every system's metric on every task that the cohort takes part in, their mean, and differences.

    `logits` maps a system's name to (members, K), tasks concatenated in their order, or to
    (runs, members, K) where it was trained several times: its metric is the mean over the runs.
    """
    asked = [task for task in tasks if cohort.rows(task.name).size]
    slices = logit_slices(tuple(tasks))
    weights = resample(cohort, resamples, seed)
    scored = {}
    for name, found in logits.items():
        runs = found.reshape(-1, *found.shape[-2:])
        draws = {
            task.name: average_draws(
                [task_draws(task, run[:, slices[task.name]], cohort, weights) for run in runs]
            )
            for task in asked
        }
        scored[name] = _Scored(draws, mean_draws(list(draws.values())))
    return Accuracy(
        resamples=resamples,
        seed=seed,
        cohorts=tuple(_describe(task, cohort) for task in asked),
        systems=tuple(
            _system(system, scored[system.name]) for system in panel.systems if system.name in scored
        ),
        differences=tuple(
            _difference(system, against, title, scored[system] - scored[against])
            for system, against, title in panel.comparisons
            if system in scored and against in scored
        ),
    )


def _system(system: System, scored: _Scored) -> SystemAccuracy:
    return SystemAccuracy(
        system=system.name,
        title=system.title,
        ran_in=system.ran_in,
        tasks=scored.estimates(),
        mean=scored.mean.estimate(),
    )


def _difference(system: str, against: str, title: str, paired: _Scored) -> Difference:
    return Difference(
        system=system,
        against=against,
        title=title,
        tasks=paired.estimates(),
        mean=paired.mean.estimate(),
    )


def _describe(task: Task, cohort: Cohort) -> TaskCohort:
    rows, labels = cohort.rows(task.name), cohort.labels(task.name)
    return TaskCohort(
        task=task.name,
        dataset=task.dataset,
        metric=task.metric,
        classes=tuple(rule.name for rule in task.classes),
        counts=tuple(int((labels == k).sum()) for k in range(len(task.classes))),
        patients=len(cohort.units(rows)),
        patients_named=all(cohort.members[i].named for i in rows),
    )
