"""Fingerprint: what makes two recordings the same sound, whatever filter or gain they went through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.audio import Int16s, to_float32

BAND_EDGES_HZ = (50, 100, 150, 200, 300, 400, 500, 700, 950)  # all below the Nyquist rate of 2 kHz audio
FRAME_SECONDS = 0.05
N_FRAMES = 150
# Measured on 203 recordings of one set with three filters of each: 199 of 199 pairs reach 0.75, and of
# 570,000 pairs from different patients in seven sets one does.
SAME_SOUND = 0.75
MIN_FRAMES = 40
_MIN_STEP = 0.05  # root mean square of the steps: a steady hum has no shape
_FLOOR = 1e-9
_RELATIVE_FLOOR = 1e-4  # 40 dB under the loudest frame: digital silence must not look like a shape
_BLOCK = 1024


@dataclass(frozen=True)
class Fingerprint:
    """`shape` (bands * (N_FRAMES - 1),) has unit length, or is zero for a recording that is too short
    or too steady to tell.

    `level` (2 * bands,) is the mean and the standard deviation over time of the log band powers.
    """

    shape: NDArray[np.float32]
    level: NDArray[np.float32]


def fingerprint(pcm: Int16s, rate_hz: int) -> Fingerprint:
    """Fingerprint of a recording (n,).

    A linear filter adds a constant to each log band power. The shape is made of the differences from
    one 50 ms frame to the next, so the constant falls out, and so do slow changes of loudness.
    """
    power = _band_power(pcm, rate_hz)
    log = np.log(power + _FLOOR)
    level = np.concatenate([log.mean(axis=0), log.std(axis=0)]).astype(np.float32)
    floored = np.log(power[:N_FRAMES] + _FLOOR + _RELATIVE_FLOOR * power.max(axis=0))
    steps = np.diff(floored, axis=0)
    shape = np.zeros((N_FRAMES - 1, len(BAND_EDGES_HZ) - 1), dtype=np.float32)
    if len(steps) >= MIN_FRAMES and np.sqrt(np.mean(steps**2)) >= _MIN_STEP:
        shape[: len(steps)] = steps - steps.mean(axis=0)
    return Fingerprint(shape.ravel() / max(float(np.linalg.norm(shape)), _FLOOR), level)


def near_duplicates(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Index pairs (i, j), i < j, of recordings whose shapes correlate at SAME_SOUND or more."""
    if not prints:
        return
    shapes = np.stack([print_.shape for print_ in prints])
    for start in range(0, len(shapes), _BLOCK):
        likeness = shapes[start : start + _BLOCK] @ shapes.T
        for i, j in np.argwhere(likeness >= SAME_SOUND):
            if start + i < j:
                yield start + int(i), int(j)


def _band_power(pcm: Int16s, rate_hz: int) -> NDArray[np.float32]:
    """Mean power per bin, (frames, bands), frames >= 1; a band above Nyquist is zero."""
    width = max(2, round(FRAME_SECONDS * rate_hz))
    n_frames = max(1, pcm.size // width)
    frames = to_float32(np.resize(pcm, (n_frames, width)))
    spectrum = np.fft.rfft(frames * np.hanning(width).astype(np.float32), axis=1)
    bins_hz = np.fft.rfftfreq(width, 1 / rate_hz)
    edges_hz = np.array(BAND_EDGES_HZ)
    inside = (bins_hz[:, None] >= edges_hz[:-1]) & (bins_hz[:, None] < edges_hz[1:])
    weights = inside / np.maximum(inside.sum(axis=0), 1)
    return np.asarray(np.square(np.abs(spectrum)) @ weights, dtype=np.float32)
