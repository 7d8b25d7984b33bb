"""Columns: a recording's logits as one probability for each thing that a person may ask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import logit_slices, probabilities
from acula_edge.data.tasks import Task

DECIMALS = 4


def names(tasks: Sequence[Task]) -> list[str]:
    """Column names: a binary task's own name, and `task:class` for each class of the others."""
    return [name for task in tasks for name in _names(task)]


def values(tasks: Sequence[Task], logits: NDArray[np.floating]) -> list[float]:
    """Probabilities of one recording, from its logits (K,), in the order of `names`.

    A binary task gives that of its second class.
    """
    slices = logit_slices(tuple(tasks))
    return [
        round(float(value), DECIMALS)
        for task in tasks
        for value in _shown(task, probabilities(task, logits[None, slices[task.name]])[0])
    ]


def _names(task: Task) -> list[str]:
    if task.n_logits == 1:
        return [task.name]
    return [f"{task.name}:{rule.name}" for rule in task.classes]


def _shown(task: Task, found: NDArray[np.float64]) -> NDArray[np.float64]:
    return found[1:] if task.n_logits == 1 else found
