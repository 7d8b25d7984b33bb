"""Metrics: AUROC as the Mann-Whitney statistic, and how a task turns logits into a score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.tasks import Task

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties count half.

    Mann and Whitney (1947) through mid-ranks. NaN if one class is empty.
    """
    n_pos = int(positive.sum())
    n_neg = positive.size - n_pos
    if n_pos == 0 or n_neg == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mid_ranks[inverse][positive].sum())
    return (rank_sum - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg)


def macro_auroc(scores: Floats, labels: Ints) -> float:
    """Mean one-vs-rest AUROC over the classes that are present. `scores` is (n, k), `labels` (n,)."""
    values = [auroc(scores[:, k], labels == k) for k in range(scores.shape[1])]
    present = [value for value in values if not np.isnan(value)]
    return float(np.mean(present)) if present else float("nan")


def probabilities(task: Task, logits: Floats) -> NDArray[np.float64]:
    """Class probabilities (n, classes) of a task from its logits (n, task.n_logits)."""
    wide = logits.astype(np.float64)
    if task.n_logits == 1:
        positive = 1.0 / (1.0 + np.exp(-np.clip(wide[:, 0], -60, 60)))
        return np.stack([1.0 - positive, positive], axis=1)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def task_score(task: Task, logits: Floats, labels: Ints) -> float:
    """The task's metric on logits (n, task.n_logits) and class indices (n,)."""
    if task.n_logits == 1:
        return auroc(logits[:, 0], labels == 1)
    return macro_auroc(probabilities(task, logits), labels)


def logit_slices(tasks: tuple[Task, ...]) -> dict[str, slice]:
    """Where each task's logits stand in the concatenated head, in task order."""
    slices, start = {}, 0
    for task in tasks:
        slices[task.name] = slice(start, start + task.n_logits)
        start += task.n_logits
    return slices
