"""OPERA's features in torch: silence trimmed, 64 log-mels, each clip scaled to [0, 1].

Zhang et al., "Towards open respiratory acoustic foundation models" (2024). Their code calls librosa 0.10:
`effects.trim`, a repeating pad, `feature.melspectrogram`, `power_to_db` above the clip's highest power,
then the minimum and maximum of the clip become 0 and 1. That scaling looks at the whole clip, so that a
device can not use it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.slaney import RATE_HZ as RATE_HZ
from acula_edge.encoders.slaney import slaney_filters

MELS = 64
WINDOW_SAMPLES = 1024
HOP_SAMPLES = 512
FEATURES = "64 mels, 50-8000 Hz, window 64 ms, hop 32 ms, silent ends trimmed, each clip scaled to [0, 1]"
_F_MIN_HZ = 50.0
_TRIM_WINDOW_SAMPLES = 1600
_TRIM_HOP_SAMPLES = 800
_TRIM_DB = 60.0
_TOP_DB = 80.0
_LEAST_POWER = 1e-10


class OperaMel(nn.Module):
    """(B, samples) float32 in [-1, 1] at 16 kHz -> (B, T, 64) float32 in [0, 1], a frame every 32 ms.

    Silent ends are cut off, then the clip is repeated, its last sample at the end, until it is as long as
    it came, and `clip_samples` at least. A silent clip gives zeros.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, clip_samples: int) -> None:
        super().__init__()
        self.clip_samples = clip_samples
        filters = slaney_filters(MELS, WINDOW_SAMPLES, _F_MIN_HZ).float()
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        """Features of a batch of clips; see the class."""
        samples = max(self.clip_samples, waveform.shape[1])
        filled = torch.stack([repeat_to(trim(clip), samples) for clip in waveform])
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                filled,
                WINDOW_SAMPLES,
                HOP_SAMPLES,
                window=self.window,
                pad_mode="constant",
                return_complex=True,
            )
            power = self.filters @ spectrum.abs().square()
        decibel = _decibel(power)
        top = decibel.amax(dim=(1, 2), keepdim=True)
        decibel = torch.maximum(decibel, top - _TOP_DB)
        bottom = decibel.amin(dim=(1, 2), keepdim=True)
        span = (top - bottom).clamp(min=torch.finfo(torch.float32).tiny)
        return ((decibel - bottom) / span).transpose(1, 2)


def trim(clip: Tensor) -> Tensor:
    """(samples,) -> (samples',): without the ends that are 60 dB below the loudest tenth of a second."""
    half = _TRIM_WINDOW_SAMPLES // 2
    frames = F.pad(clip, (half, half)).unfold(0, _TRIM_WINDOW_SAMPLES, _TRIM_HOP_SAMPLES)
    decibel = _decibel(frames.square().mean(1))
    loud = torch.nonzero(decibel > decibel.max() - _TRIM_DB)
    return clip[int(loud[0]) * _TRIM_HOP_SAMPLES : (int(loud[-1]) + 1) * _TRIM_HOP_SAMPLES]


def repeat_to(clip: Tensor, samples: int) -> Tensor:
    """(n,) -> (samples,), n at most `samples`: whole copies before the clip, the first one cut."""
    return clip.repeat(-(-samples // len(clip)))[-samples:]


def _decibel(power: Tensor) -> Tensor:
    return 10.0 * power.clamp(min=_LEAST_POWER).log10()
