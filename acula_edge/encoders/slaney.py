"""Mel filters of equal area on Slaney's mel scale, for audio at 16 kHz."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE_HZ = 16000
# Slaney's mel scale: linear up to the knee, then a factor 6.4 every 27 mels.
_KNEE_HZ = 1000.0
_KNEE_MEL = 15.0
_LOG_STEP = math.log(6.4) / 27.0


def slaney_filters(n_mels: int, n_fft: int, f_min_hz: float) -> Tensor:
    """(n_mels, n_fft // 2 + 1) float64: triangles of equal area from `f_min_hz` to 8000 Hz.

    Slaney, "Auditory Toolbox" (1998).
    """
    frequencies = torch.linspace(0, RATE_HZ / 2, n_fft // 2 + 1, dtype=torch.float64)
    mels = torch.linspace(_mel(f_min_hz), _mel(RATE_HZ / 2), n_mels + 2, dtype=torch.float64)
    linear = mels * (_KNEE_HZ / _KNEE_MEL)
    edges = torch.where(mels < _KNEE_MEL, linear, _KNEE_HZ * torch.exp((mels - _KNEE_MEL) * _LOG_STEP))
    widths = edges.diff()[:, None]
    rising = (frequencies - edges[:-2, None]) / widths[:-1]
    falling = (edges[2:, None] - frequencies) / widths[1:]
    area = 2.0 / (edges[2:] - edges[:-2])[:, None]
    return torch.minimum(rising, falling).clamp(min=0) * area


def _mel(frequency_hz: float) -> float:
    if frequency_hz < _KNEE_HZ:
        return frequency_hz * _KNEE_MEL / _KNEE_HZ
    return _KNEE_MEL + math.log(frequency_hz / _KNEE_HZ) / _LOG_STEP
