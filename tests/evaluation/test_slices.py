"""Slices of made-up patients, and of real recordings."""

from __future__ import annotations

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.evaluation.slices import MIN_RECORDINGS, left_out, slices_of


def _recordings(n: int, dataset: str = "d", **metadata: str) -> list[Recording]:
    return [
        Recording(f"r{i}", "", dataset, "", f"r{i}", Split.VAL, 4000, 0, 1, "", metadata=metadata)
        for i in range(n)
    ]


def test_slices_hold_the_rows_of_each_value_and_small_ones_are_named() -> None:
    recordings = [
        *_recordings(25, "a", sex="F", age="34.0", device="scope"),
        *_recordings(20, "b", sex="M", age="17.9", device=" "),
        *_recordings(19, "b", age="65"),
    ]
    found = slices_of(recordings)
    assert {name: len(rows) for name, rows in found.items()} == {
        "dataset=a": 25,
        "dataset=b": 39,
        "device=scope": 25,
        "device=unknown": 39,
        "sex=F": 25,
        "sex=M": 20,
        "age=adult": 25,
        "age=child": 20,
    }
    assert found["sex=M"].tolist() == list(range(25, 45))
    assert left_out(recordings) == {
        "sex=unknown": "19 recordings, fewer than 20",
        "age=old": "19 recordings, fewer than 20",
    }


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("0.25", "child"),
        ("17.99", "child"),
        ("18", "adult"),
        ("64.9", "adult"),
        ("65.0", "old"),
        ("129.99999999", "old"),
        ("", "unknown"),
        ("nan", "unknown"),
        ("-1", "unknown"),
        ("Adult", "unknown"),
    ],
)
def test_age_bands(age: str, band: str) -> None:
    assert f"age={band}" in slices_of(_recordings(MIN_RECORDINGS, age=age))


def test_each_criterion_divides_the_real_recordings(mini_dataset: Artifact) -> None:
    recordings = Dataset.open(mini_dataset).of(*Split)
    found, rest = slices_of(recordings), left_out(recordings)
    assert found
    assert not set(found) & set(rest)
    for criterion in ("dataset", "device", "sex", "age"):
        rows = [part for name, part in found.items() if name.startswith(f"{criterion}=")]
        few = [int(why.split()[0]) for name, why in rest.items() if name.startswith(f"{criterion}=")]
        joined = np.concatenate(rows) if rows else np.array([], dtype=int)
        assert len(np.unique(joined)) == len(joined)
        assert len(joined) + sum(few) == len(recordings)
    assert max(len(part) for part in found.values()) <= len(recordings)
