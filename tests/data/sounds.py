"""Small recordings folders for the tests of the data stage."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 4000


def noise(seed: int, seconds: float = 2.0, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    """White noise (n,), peak far below full scale."""
    rng = np.random.default_rng(seed)
    return (0.05 * rng.standard_normal(round(seconds * rate_hz))).astype(np.float32)


def write_metadata(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write metadata.csv with every column that a row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_folder(
    folder: Path, rows: Sequence[Mapping[str, str]], seconds: float = 2.0, rate_hz: int = RATE_HZ
) -> Path:
    """A recordings folder with a noise of its own for each row."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, row in enumerate(rows):
        (folder / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / row["path"], noise(seed, seconds, rate_hz), rate_hz, subtype="PCM_16")
    write_metadata(folder, rows)
    return folder


def two_class_rows(patients: int = 12, each: int = 2, **columns: str) -> list[dict[str, str]]:
    """Rows of patients p0, p1, ... of whom every second is sick."""
    return [
        {
            "path": f"p{patient}_{take}.wav",
            "patient_id": f"p{patient}",
            "label": "sick" if patient % 2 else "healthy",
            **columns,
        }
        for patient in range(patients)
        for take in range(each)
    ]
