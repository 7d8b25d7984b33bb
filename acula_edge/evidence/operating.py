"""Operating points: how the frozen decisions of a bundle do on recordings that nobody chose them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.tasks import Task
from acula_edge.evidence.accuracy import Panel
from acula_edge.evidence.cohort import Cohort
from acula_edge.evidence.decisions import Decisions, Rule, positives
from acula_edge.evidence.intervals import Draws, resample
from acula_edge.evidence.results import Estimate, Frozen
from acula_edge.evidence.tables import Cell, Table
from acula_edge.evidence.text import interval, number

_BINS = 10

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class OperatingPoint(Frozen):
    """One system on one binary task, its threshold frozen.

    `sensitivity`, `specificity` and `ppv` are at the threshold, without abstaining. `ece` (10 bins of equal
    width) and `brier` are of the calibrated probabilities. `decided` is the share of recordings on which it
    does not abstain, `wrong` the share of those that are decided wrongly.
    """

    system: str
    title: str
    task: str
    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    ece: Estimate
    brier: Estimate
    decided: Estimate
    wrong: Estimate


def operating_points(
    tasks: Sequence[Task],
    cohort: Cohort,
    logits: Mapping[str, NDArray[np.floating]],
    decisions: Decisions,
    panel: Panel,
    resamples: int,
    seed: int,
) -> tuple[OperatingPoint, ...]:
    """Every system of the panel that has logits (members, K), on each task with a rule and both classes."""
    weights = resample(cohort, resamples, seed)
    found = []
    for system in panel.systems:
        if system.name not in logits:
            continue
        for task, own, positive in positives(decisions, tasks, logits[system.name]):
            rows, labels = cohort.rows(task.name), cohort.labels(task.name)
            if own.rule is None or len(set(labels.tolist())) < 2:
                continue
            patients = min(len(cohort.units(rows[labels == k])) for k in (0, 1))
            figures = _figures(own.rule, positive[rows], labels == 1, weights[:, rows], patients)
            about = {"system": system.name, "title": system.title, "task": task.name}
            values = {**about, "threshold": own.rule.threshold, **figures}
            found.append(OperatingPoint.model_validate(values))
    return tuple(found)


def _figures(
    rule: Rule, positive: Floats, truth: NDArray[np.bool_], weights: Ints, patients: int
) -> dict[str, Estimate]:
    said = positive >= rule.threshold
    decided = (positive < rule.abstain_from) | (positive > rule.abstain_to)
    drawn = np.concatenate([np.ones((1, len(truth)), dtype=np.int64), weights])  # the recordings as they are
    figures = {
        "sensitivity": _share(drawn, said, truth),
        "specificity": _share(drawn, ~said, ~truth),
        "ppv": _share(drawn, truth, said),
        "ece": _calibration_error(drawn, positive, truth),
        "brier": drawn @ np.square(positive - truth) / np.maximum(drawn.sum(axis=1), 1),
        "decided": _share(drawn, decided, np.ones_like(truth)),
        "wrong": _share(drawn, said != truth, decided),
    }
    return {name: Draws(float(row[0]), row[1:], patients).estimate() for name, row in figures.items()}


def _share(drawn: Ints, hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Floats:
    """In each resample (b, n) the share of `among` that are hits; NaN where there is none."""
    total = drawn @ among.astype(np.int64)
    return np.where(total > 0, drawn @ (hits & among).astype(np.int64) / np.maximum(total, 1), np.nan)


def _calibration_error(drawn: Ints, positive: Floats, truth: NDArray[np.bool_]) -> Floats:
    """Mean over bins, by their recordings, of |mean probability - share of positives|.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning" (AAAI 2015).
    """
    bins = np.minimum((positive * _BINS).astype(np.int64), _BINS - 1)
    gaps = (positive - truth)[:, None] * (bins[:, None] == np.arange(_BINS))
    return np.asarray(np.abs(drawn @ gaps).sum(axis=1) / np.maximum(drawn.sum(axis=1), 1))


_COLUMNS = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "ece": "ECE",
    "brier": "Brier",
    "decided": "decided",
    "wrong": "wrong of those",
}


def operating_table(points: Sequence[OperatingPoint]) -> Table:
    """Each task, and each system on it, so that float and INT8 stand one above the other."""
    rows = [
        (
            Cell(point.task),
            Cell(point.title),
            Cell(f"{point.threshold:.3f}"),
            *(_cell(getattr(point, name)) for name in _COLUMNS),
        )
        for point in sorted(points, key=lambda point: point.task)
    ]
    header = ("task", "system", "threshold", *_COLUMNS.values())
    return Table("Frozen decisions (95 % interval)", header, tuple(rows), labels=2)


def _cell(estimate: Estimate) -> Cell:
    return Cell(number(estimate), interval(estimate))
