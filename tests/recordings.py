"""Clips for the tests: from the recordings beside the repository, synthetic where there are none."""

from __future__ import annotations

import csv
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

RATE_HZ = 4000
CLIP_SAMPLES = 32000
_PER_DATASET = 3


def recordings_folder() -> Path | None:
    """The recordings folder: ACULA_EDGE_RECORDINGS, or `../shared/auscultation` of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "auscultation"
    folder = Path(os.environ.get("ACULA_EDGE_RECORDINGS", beside))
    return folder if (folder / "metadata.csv").is_file() else None


needs_recordings = pytest.mark.skipif(
    recordings_folder() is None, reason="simulated recordings are too few or too alike for this"
)


@cache
def clips() -> NDArray[np.int16]:
    """A few clips of each data set at 4 kHz, int16 (n, 32000); always the same ones."""
    folder = recordings_folder()
    signals = _synthetic() if folder is None else _recorded(folder)
    return np.stack([_to_int16(np.resize(signal, CLIP_SAMPLES)) for signal in signals])


def some_clips(n: int) -> NDArray[np.int16]:
    """n of them, evenly chosen: int16 (n, 32000)."""
    return clips()[np.linspace(0, len(clips()) - 1, n).astype(int)]


def _recorded(folder: Path) -> list[NDArray[np.float64]]:
    paths: dict[str, list[str]] = {}
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            paths.setdefault(row["dataset"], []).append(row["path"])
    chosen = [path for rows in paths.values() for path in rows[:: max(1, len(rows) // _PER_DATASET)]]
    signals = []
    for path in chosen:
        samples, rate_hz = soundfile.read(folder / path, dtype="float64", always_2d=True)
        signals.append(soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ, quality="VHQ"))
    return signals


def _synthetic() -> list[NDArray[np.float64]]:
    """Heart beats over breathing noise, from loud to near the last bit; then others with a wheeze each."""
    rng = np.random.default_rng(0)
    time_s = np.arange(CLIP_SAMPLES) / RATE_HZ
    beats = np.sin(2 * np.pi * 60 * time_s) * np.exp(-12 * (time_s % 0.8))
    breath = rng.normal(size=CLIP_SAMPLES) * (1 + np.sin(2 * np.pi * 0.3 * time_s))
    alike = [gain * (beats + 0.02 * breath) for gain in (0.9, 0.1, 0.01, 0.001)]
    return alike + [_wheeze(time_s, rng, pitch_hz) for pitch_hz in (110, 220, 330, 520, 870, 1400)]


def _wheeze(time_s: NDArray[np.float64], rng: np.random.Generator, pitch_hz: float) -> NDArray[np.float64]:
    """A tone that comes and goes with the breath, over noise; pitch, rate and loudness differ."""
    rate_hz, gain, noise = rng.uniform(0.2, 0.6), rng.uniform(0.05, 0.5), rng.uniform(0.01, 0.3)
    breath = np.clip(np.sin(2 * np.pi * rate_hz * time_s), 0, None)
    return gain * breath * (np.sin(2 * np.pi * pitch_hz * time_s) + noise * rng.normal(size=time_s.size))


def _to_int16(signal: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.round(signal * 32768), -32768, 32767).astype(np.int16)
