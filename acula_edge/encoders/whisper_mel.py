"""Whisper's log-mel features in torch: the same as the published preprocessing, for any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acula_edge.encoders.slaney import RATE_HZ as RATE_HZ
from acula_edge.encoders.slaney import slaney_filters

WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
_TOP_DECADES = 8.0


class WhisperMel(nn.Module):
    """(B, samples) float32 in [-1, 1] at 16 kHz -> (B, mels, samples // 160) float32.

    Reflected ends, Hann window of 25 ms, hop 10 ms, Slaney mel filters, log10 of the power no lower than
    8 below the clip's highest, then (x + 4) / 4.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        filters = slaney_filters(n_mels, WINDOW_SAMPLES, 0.0).float()
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Features of a batch of clips; see the class."""
        spectrum = torch.stft(waveform, WINDOW_SAMPLES, HOP_SAMPLES, window=self.window, return_complex=True)
        power = self.filters @ spectrum[..., :-1].abs().square()
        log_power = power.clamp(min=1e-10).log10()
        floor = log_power.amax(dim=(1, 2), keepdim=True) - _TOP_DECADES
        return (torch.maximum(log_power, floor) + 4.0) / 4.0
