"""What the tests of the OPERA encoders share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acula_edge.data.audio import resample, to_float32
from tests.recordings import RATE_HZ, some_clips


def heard(n: int) -> Tensor:
    """`n` clips of 8 s at 16 kHz, of different recordings: float32 (n, 128000)."""
    waves = [resample(to_float32(clip), RATE_HZ, 16000) for clip in some_clips(n)]
    return torch.stack([torch.from_numpy(wave) for wave in waves])


def unreached(model: nn.Module) -> list[str]:
    """Names of the parameters whose gradient is missing, zero, or not finite."""
    return [name for name, value in model.named_parameters() if not _learns(value)]


def _learns(value: nn.Parameter) -> bool:
    return value.grad is not None and bool(value.grad.isfinite().all()) and bool(value.grad.any())
