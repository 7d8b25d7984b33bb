"""Shortcuts: how well the way of recording, rather than the patient, tells the class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import auroc
from acula_edge.data.takes import Take

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]

# A column says how a recording was made, not who was recorded, if its last word is one of these.
_MADE_WORDS = frozenset({"rate", "device", "split", "set", "db", "database", "repo", "format", "channels"})
_MAX_VALUES = 20
N_FOLDS = 5
_RIDGE = 1.0


def ways_of_recording(takes: Sequence[Take]) -> dict[str, list[str]]:
    """Value of each recording, for every column that says how it was made and takes 2 to 20 values.

    Columns that divide the recordings alike are one entry, with their names joined.
    """
    names = sorted({name for take in takes for name in take.row.fields if name.split("_")[-1] in _MADE_WORDS})
    columns = {name: [take.row.fields.get(name, "") for take in takes] for name in names}
    columns["split"] = [take.row.split for take in takes]
    columns["rate of the file"] = [str(take.source_rate_hz) for take in takes]
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, values in columns.items():
        first: dict[str, int] = {}
        partition = tuple(first.setdefault(value, len(first)) for value in values)
        if 2 <= len(first) <= _MAX_VALUES:
            alike[partition].append(name)
    return {", ".join(found): columns[found[0]] for found in alike.values()}


def cramers_v(left: Sequence[str], right: Sequence[str]) -> float:
    """Association of two categorical variables, 0 (none) to 1, corrected for bias (Bergsma 2013)."""
    _, rows = np.unique(left, return_inverse=True)
    _, columns = np.unique(right, return_inverse=True)
    n, n_rows, n_columns = len(rows), int(rows.max()) + 1, int(columns.max()) + 1
    if n < 2:
        return 0.0
    table = np.zeros((n_rows, n_columns))
    np.add.at(table, (rows, columns), 1)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = float(np.sum((table - expected) ** 2 / expected)) / n
    phi2 = max(0.0, phi2 - (n_rows - 1) * (n_columns - 1) / (n - 1))
    height = n_rows - (n_rows - 1) ** 2 / (n - 1)
    width = n_columns - (n_columns - 1) ** 2 / (n - 1)
    smaller = min(height, width) - 1
    return float(np.sqrt(phi2 / smaller)) if smaller > 1e-12 else 0.0


def rate_rule_auroc(values: Sequence[str], positive: Bools) -> float:
    """AUROC of the rule that scores a recording with the share of positives among its value's recordings."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    rates = np.bincount(inverse, weights=positive) / counts
    return auroc(rates[inverse], positive)


def folds_of(groups: Sequence[str], seed: int = 0) -> NDArray[np.int_]:
    """Fold of each recording, (n,), such that no group is in two folds."""
    names, inverse = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names)) % N_FOLDS
    return np.asarray(order[inverse])


def probe_auroc(features: Floats, positive: Bools, folds: NDArray[np.int_]) -> float:
    """Mean over folds of the AUROC of a linear probe trained on all the other folds.

    `features` is (n, d). The probe is a ridge regression on standardised features with balanced
    classes. Folds without both classes, inside or outside, are left out; NaN if none is left.
    """
    scores = [
        auroc(_ridge(features, positive, train)[~train], positive[~train])
        for train in (folds != fold for fold in np.unique(folds))
        if 0 < positive[train].sum() < train.sum() and 0 < positive[~train].sum() < (~train).sum()
    ]
    return float(np.mean(scores)) if scores else float("nan")


def _ridge(features: Floats, positive: Bools, train: Bools) -> NDArray[np.float64]:
    mean, std = features[train].mean(axis=0), features[train].std(axis=0) + 1e-6
    design = np.column_stack([(features - mean) / std, np.ones(len(features))])
    target = np.where(positive[train], 1.0, -1.0)
    weights = 0.5 / np.where(positive[train], positive[train].mean(), 1 - positive[train].mean())
    penalty = _RIDGE * np.eye(design.shape[1])
    penalty[-1, -1] = 0.0
    weighted = design[train].T * weights
    return np.asarray(design @ np.linalg.solve(weighted @ design[train] + penalty, weighted @ target))
