"""Augmentation of normalised log-mel features: gain, time shift, and SpecAugment's masks.

A gain of g dB adds g ln(10) / 10 to the natural logarithm of power. The masks are those of Park et
al., "SpecAugment" (Interspeech 2019), filled with 0, the training mean. The teacher's embedding of a
clip is kept as the target: it pools over time and knows no absolute level.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from distill.config import DistillConfig


def augment(features: Tensor, std: Tensor, config: DistillConfig, rng: np.random.Generator) -> Tensor:
    """Augmented copy of (B, 1, n_mels, n_frames); `std` (n_mels,) is the contract's normalisation."""
    batch, _, n_mels, n_frames = features.shape
    gain = torch.from_numpy(rng.uniform(-config.gain_db, config.gain_db, size=batch)).float()
    step = gain * (math.log(10.0) / 10.0)
    louder = features + step[:, None, None, None] / std[None, None, :, None]
    shifted = torch.stack([torch.roll(clip, int(rng.integers(n_frames)), dims=2) for clip in louder])
    for clip in shifted:
        _mask(clip, 1, config.mel_mask, n_mels, rng)
        _mask(clip, 2, config.frame_mask, n_frames, rng)
    return shifted


def _mask(clip: Tensor, dim: int, widest: int, size: int, rng: np.random.Generator) -> None:
    """Zero a random band of up to `widest` of `clip` (1, n_mels, n_frames) along `dim`, in place."""
    width = int(rng.integers(0, min(widest, size) + 1))
    start = int(rng.integers(0, size - width + 1))
    clip.narrow(dim, start, width).zero_()
