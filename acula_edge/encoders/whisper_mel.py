"""Whisper's log-mel features in torch: the same as the published preprocessing, for any length."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RATE_HZ = 16000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
_TOP_DECADES = 8.0
# Slaney's mel scale: linear up to the knee, then a factor 6.4 every 27 mels.
_KNEE_HZ = 1000.0
_KNEE_MEL = 15.0
_LOG_STEP = math.log(6.4) / 27.0


class WhisperMel(nn.Module):
    """(B, samples) float32 in [-1, 1] at 16 kHz -> (B, mels, samples // 160) float32.

    Reflected ends, Hann window of 25 ms, hop 10 ms, Slaney mel filters, log10 of the power no lower than
    8 below the clip's highest, then (x + 4) / 4.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)
        self.register_buffer("filters", slaney_filters(n_mels).float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Features of a batch of clips; see the class."""
        spectrum = torch.stft(waveform, WINDOW_SAMPLES, HOP_SAMPLES, window=self.window, return_complex=True)
        power = self.filters @ spectrum[..., :-1].abs().square()
        log_power = power.clamp(min=1e-10).log10()
        floor = log_power.amax(dim=(1, 2), keepdim=True) - _TOP_DECADES
        return (torch.maximum(log_power, floor) + 4.0) / 4.0


def slaney_filters(n_mels: int) -> Tensor:
    """(n_mels, 201) float64: triangles of equal area from 0 to 8000 Hz, on Slaney's mel scale.

    Slaney, "Auditory Toolbox" (1998).
    """
    frequencies = torch.linspace(0, RATE_HZ / 2, WINDOW_SAMPLES // 2 + 1, dtype=torch.float64)
    top = _KNEE_MEL + math.log(RATE_HZ / 2 / _KNEE_HZ) / _LOG_STEP
    mels = torch.linspace(0, top, n_mels + 2, dtype=torch.float64)
    linear = mels * (_KNEE_HZ / _KNEE_MEL)
    edges = torch.where(mels < _KNEE_MEL, linear, _KNEE_HZ * torch.exp((mels - _KNEE_MEL) * _LOG_STEP))
    widths = edges.diff()[:, None]
    rising = (frequencies - edges[:-2, None]) / widths[:-1]
    falling = (edges[2:, None] - frequencies) / widths[1:]
    area = 2.0 / (edges[2:] - edges[:-2])[:, None]
    return torch.minimum(rising, falling).clamp(min=0) * area
