"""Slices: the recordings of one data set, device, sex or age band, to see whom a model serves worse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.recording import Recording
from acula_edge.data.reports.facts import parse_age

MIN_RECORDINGS = 20
_UNKNOWN = "unknown"
_AGE_BANDS = ((18, "child"), (65, "adult"), (math.inf, "old"))  # each ends below these years


def slices_of(recordings: Sequence[Recording]) -> dict[str, NDArray[np.intp]]:
    """Indices of the recordings of each slice, by names such as `sex=F`; at least 20 recordings each.

    `dataset` is the source, `device` and `sex` are as in the metadata, `age` is child (under 18 years),
    adult (under 65) or old; what the metadata does not say is `unknown`.
    """
    return {name: rows for name, rows in _all(recordings).items() if len(rows) >= MIN_RECORDINGS}


def left_out(recordings: Sequence[Recording]) -> dict[str, str]:
    """Why each of the other slices is not in `slices_of`, one clause each."""
    return {
        name: f"{len(rows)} recordings, fewer than {MIN_RECORDINGS}"
        for name, rows in _all(recordings).items()
        if len(rows) < MIN_RECORDINGS
    }


def _all(recordings: Sequence[Recording]) -> dict[str, NDArray[np.intp]]:
    """Every slice that holds a recording, by criterion and then by name."""
    found = {}
    for criterion, value_of in _CRITERIA.items():
        values = np.array([value_of(item) for item in recordings], dtype=np.str_)
        for value in np.unique(values):
            found[f"{criterion}={value}"] = np.flatnonzero(values == value)
    return found


def _stated(field: str) -> Callable[[Recording], str]:
    return lambda recording: recording.metadata.get(field, "").strip() or _UNKNOWN


def _age_band(recording: Recording) -> str:
    age = parse_age(recording.metadata.get("age", ""))
    return next(name for years, name in _AGE_BANDS if age.years < years) if age else _UNKNOWN


_CRITERIA: dict[str, Callable[[Recording], str]] = {
    "dataset": lambda recording: recording.dataset,
    "device": _stated("device"),
    "sex": _stated("sex"),
    "age": _age_band,
}
