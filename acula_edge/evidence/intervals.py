"""Intervals: percentile bootstrap over patients, shared by every system so that differences are paired.

Efron and Tibshirani (1993), chapter 13. Patients are drawn with replacement within each data set, and
all their recordings follow; a resample is stored as how often each recording counts. All tasks and all
systems see the same resamples: means over tasks and differences of systems keep their correlation.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import probabilities, task_score
from acula_edge.data.tasks import Task
from acula_edge.evidence.cohort import Cohort
from acula_edge.evidence.results import Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PERCENTILES = (2.5, 97.5)
_ENOUGH = 0.5  # an interval needs this share of the resamples


@dataclass(frozen=True)
class Draws:
    """A value and what it becomes in each resample (b,); NaN where a resample can not give it.

    `patients` is how many the rarest class has: a class of one patient gives no interval.
    """

    value: float
    resampled: Floats
    patients: int

    def __sub__(self, other: Draws) -> Draws:
        """The paired difference."""
        return Draws(self.value - other.value, self.resampled - other.resampled, self.patients)

    def estimate(self) -> Estimate:
        """The value with its 95 % interval; no interval where too few resamples give a value."""
        valid = self.resampled[~np.isnan(self.resampled)]
        degenerate = self.resampled.size - valid.size
        if np.isnan(self.value):
            return Estimate(value=None, low=None, high=None, degenerate=degenerate)
        if self.patients < 2 or valid.size < _ENOUGH * self.resampled.size:
            return Estimate(value=self.value, low=None, high=None, degenerate=degenerate)
        low, high = np.percentile(valid, _PERCENTILES)
        return Estimate(value=self.value, low=float(low), high=float(high), degenerate=degenerate)


def resample(cohort: Cohort, resamples: int, seed: int) -> Ints:
    """How often each member counts in each resample: int64 (resamples, members).

    Each data set has a generator of its own: another set in the cohort changes nothing here.
    """
    weights = np.zeros((resamples, len(cohort.members)), dtype=np.int64)
    for dataset in {member.dataset for member in cohort.members}:
        rows = [i for i, member in enumerate(cohort.members) if member.dataset == dataset]
        names = np.array([cohort.members[i].unit for i in rows])
        units, unit_of_row = np.unique(names, return_inverse=True)
        rng = np.random.default_rng([seed, zlib.crc32(dataset.encode())])
        counts = rng.multinomial(units.size, np.full(units.size, 1 / units.size), size=resamples)
        weights[:, rows] = counts[:, unit_of_row]
    return weights


def weighted_auroc(scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: Ints) -> Floats:
    """AUROC of (n,) scores in each resample (b, n) -> (b,); NaN where a class has no weight.

    The Mann-Whitney statistic of `metrics.auroc`, with every recording counted as often as it was drawn.
    """
    order = np.argsort(scores, kind="stable")
    is_new = np.diff(scores[order], prepend=np.nan) != 0  # NaN differs from everything: the first starts
    starts = np.flatnonzero(is_new)
    by_score = weights[:, order]
    positives = np.add.reduceat(by_score * positive[order], starts, axis=1)
    negatives = np.add.reduceat(by_score, starts, axis=1) - positives
    below = np.cumsum(negatives, axis=1) - negatives
    wins = (positives * (below + negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)


def task_draws(task: Task, logits: NDArray[np.floating], cohort: Cohort, weights: Ints) -> Draws:
    """A task's metric on all members' logits (n, task.n_logits) and in each resample.

    A macro AUROC is taken over the classes that the cohort has; a resample that lost one is left out.
    """
    rows, labels = cohort.rows(task.name), cohort.labels(task.name)
    if rows.size == 0:
        return Draws(float("nan"), np.full(len(weights), np.nan), 0)
    patients = min(len(cohort.units(rows[labels == k])) for k in np.unique(labels))
    own_logits, own_weights = logits[rows], weights[:, rows]
    value = task_score(task, own_logits, labels)
    if task.n_logits == 1:
        return Draws(value, weighted_auroc(own_logits[:, 0], labels == 1, own_weights), patients)
    scores = probabilities(task, own_logits)
    each = [weighted_auroc(scores[:, k], labels == k, own_weights) for k in np.unique(labels)]
    return Draws(value, np.mean(each, axis=0), patients)


def average_draws(runs: list[Draws]) -> Draws:
    """The mean of one quantity over several runs on the same members and resamples."""
    value = float(np.mean([run.value for run in runs]))
    return Draws(value, np.mean([run.resampled for run in runs], axis=0), runs[0].patients)


def mean_draws(draws: list[Draws]) -> Draws:
    """The mean over the tasks that have an interval; if there are none, over those that have a value.

    A class of one patient can not be drawn in another way: its task would narrow the interval of the mean.
    Where a resample has no value for some of them, it moves the mean by what it moves the others: a
    mean over fewer tasks would jump to another level.
    """
    valued = [one for one in draws if not np.isnan(one.value)]
    scored = [one for one in valued if one.estimate().low is not None] or valued
    if not scored:
        return draws[0]
    value = float(np.mean([one.value for one in scored]))
    moves = np.stack([one.resampled - one.value for one in scored])
    found = ~np.isnan(moves)
    counts = found.sum(axis=0)
    moved = np.where(found, moves, 0.0).sum(axis=0) / np.maximum(counts, 1)
    resampled = np.where(counts > 0, value + moved, np.nan)
    return Draws(value, resampled, min(one.patients for one in scored))
