"""The part of the leak audit that asks what sampling rate, bandwidth or noise floor alone give away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.findings import Finding, Scene
from acula_edge.data.recording import Recording, Split
from acula_edge.data.shortcuts import folds_of, probe_auroc
from acula_edge.data.takes import Take

_STRONG_AUROC = 0.65
_STRONG_Z = 2.5  # so that a few patients do not look like a rule
_FEWEST = 10  # of each class, below which a probe says nothing
_BINS = 6

Bools = NDArray[np.bool_]
_FAMILIES: dict[str, Callable[[Take], float]] = {
    "sampling rate": lambda take: float(take.source_rate_hz),
    "bandwidth": lambda take: take.ambience.bandwidth_hz,
    "noise floor": lambda take: take.ambience.noise_floor_db,
}


def _shortcuts(scene: Scene) -> Iterator[Finding]:
    asked = {"the split": _splits(scene)}
    asked |= {f"task {task.name}": scene.labelled(task) for task in scene.tasks if task.n_logits == 1}
    scores: dict[str, dict[str, float]] = {}
    strong: list[str] = []
    for name, (chosen, positive) in asked.items():
        if min(positive.sum(), (~positive).sum()) < _FEWEST:
            continue
        recordings = [scene.recordings[i] for i in chosen]
        scores[name] = _scores([scene.takes[i] for i in chosen], recordings, positive)
        needed = max(_STRONG_AUROC, 0.5 + _STRONG_Z * _null_deviation(recordings, positive))
        told = [(family, auroc) for family, auroc in scores[name].items() if auroc >= needed]
        strong += [f"{name} from {family} alone (AUROC {auroc:.2f})" for family, auroc in told]
    if scores:
        yield (scene.warning if strong else scene.info)(
            "shortcuts",
            f"a probe tells {', '.join(strong)}"
            if strong
            else "sampling rate, bandwidth and noise floor alone tell neither the class nor the split",
            auroc=scores,
        )


def _splits(scene: Scene) -> tuple[NDArray[np.int_], Bools]:
    """Indices of the recordings in train and test, and whether each is in test."""
    chosen = [i for i, recording in enumerate(scene.recordings) if recording.split is not Split.VAL]
    tested = [scene.recordings[i].split is Split.TEST for i in chosen]
    return np.array(chosen, dtype=int), np.array(tested, dtype=bool)


def _scores(takes: Sequence[Take], recordings: Sequence[Recording], positive: Bools) -> dict[str, float]:
    """AUROC of each family, on patients that its probe has not seen; left out where there is none."""
    folds = folds_of([recording.patient or recording.id for recording in recordings])
    values = {family: np.array([value(take) for take in takes]) for family, value in _FAMILIES.items()}
    scores = {family: probe_auroc(_bins(found), positive, folds) for family, found in values.items()}
    return {family: round(auroc, 3) for family, auroc in scores.items() if np.isfinite(auroc)}


def _bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) -> (n, bins), one 1 in each row: a probe on bins follows any shape, not a line alone."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1], method="nearest"))
    return np.eye(edges.size + 1)[np.searchsorted(edges, values)]


def _null_deviation(recordings: Sequence[Recording], positive: Bools) -> float:
    """Standard deviation of an AUROC by chance (Mann and Whitney 1947), a patient counting once."""
    pairs = zip(recordings, positive, strict=True)
    owners = {(recording.patient or recording.id, bool(sign)) for recording, sign in pairs}
    n_positive = sum(sign for _, sign in owners)
    n_negative = len(owners) - n_positive
    return float(np.sqrt((len(owners) + 1) / (12 * n_positive * n_negative)))


SHORTCUT_CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (_shortcuts,)
