"""Ambience: what a recording tells of its microphone and room, whoever was recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acula_edge.data.audio import Int16s, to_float32

_HEARD_SECONDS = 20  # the beginning is enough, and keeps long recordings cheap
_FRAME_SECONDS = 0.1
_LOWEST_HZ = 20.0
_POWER_INSIDE = 0.99
_QUIET_PERCENTILE = 10
_TINY = 1e-12


@dataclass(frozen=True)
class Ambience:
    """`bandwidth_hz`: below it lies 99 % of the power above 20 Hz. `noise_floor_db`: the level that 10 % of
    the frames of 0.1 s stay below, relative to full scale."""

    bandwidth_hz: float
    noise_floor_db: float


def ambience(pcm: Int16s, rate_hz: int) -> Ambience:
    """Ambience of a recording (n,), n >= 1."""
    width = max(2, round(_FRAME_SECONDS * rate_hz))
    heard = to_float32(pcm[: _HEARD_SECONDS * rate_hz])
    frames = np.resize(heard, (max(1, heard.size // width), width))
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(width).astype(np.float32), axis=1))).mean(axis=0)
    bins_hz = np.fft.rfftfreq(width, 1 / rate_hz)
    power[bins_hz < _LOWEST_HZ] = 0
    below = np.cumsum(power) / max(float(power.sum()), _TINY)
    quiet = float(np.percentile(np.mean(np.square(frames), axis=1), _QUIET_PERCENTILE))
    return Ambience(
        bandwidth_hz=float(bins_hz[min(int(np.searchsorted(below, _POWER_INSIDE)), bins_hz.size - 1)]),
        noise_floor_db=10 * float(np.log10(quiet + _TINY)),
    )
