"""Kaldi's log-mel filter banks in torch, as AudioMAE hears them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RATE_HZ = 16000
_WINDOW_SAMPLES = 400
_HOP_SAMPLES = 160
_N_FFT = 512
_LOW_HZ = 20.0
_PREEMPHASIS = 0.97


class KaldiFbank(nn.Module):
    """(B, samples) float32 in [-1, 1] at 16 kHz -> (B, T, mels) float32, T = 1 + (samples - 400) // 160.

    Per frame: mean removed, pre-emphasis, symmetric Hann window, power of a 512-point FFT, triangles on
    Kaldi's mel scale from 20 to 8000 Hz, natural logarithm (Povey et al., "The Kaldi speech recognition
    toolkit", 2011).
    """

    window: Tensor
    filters: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        window = torch.hann_window(_WINDOW_SAMPLES, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", kaldi_filters(n_mels).float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Features of a batch of clips; see the class."""
        frames = waveform.unfold(1, _WINDOW_SAMPLES, _HOP_SAMPLES)
        frames = frames - frames.mean(2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectrum = torch.fft.rfft((frames - _PREEMPHASIS * before) * self.window, n=_N_FFT)
        energy: Tensor = spectrum.abs().square() @ self.filters
        return energy.clamp(min=torch.finfo(torch.float32).eps).log()


def kaldi_filters(n_mels: int) -> Tensor:
    """(257, n_mels) float64: triangles of height one, straight on the scale 1127 ln(1 + f / 700 Hz)."""
    frequencies = torch.arange(_N_FFT // 2 + 1, dtype=torch.float64) * (RATE_HZ / _N_FFT)
    mels = 1127.0 * torch.log1p(frequencies / 700.0)[:, None]
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (_LOW_HZ, RATE_HZ / 2))
    edges = torch.linspace(low, high, n_mels + 2, dtype=torch.float64)
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)
