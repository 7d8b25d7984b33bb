"""Noise on normalised log-mel features, for the student alone: gain, roll in time, SpecAugment's masks.

A gain of g dB adds g ln(10) / 10 to the natural logarithm of power. The masks are those of Park et al.,
"SpecAugment" (Interspeech 2019), filled with 0, the training mean. The teacher's answer to the view stays
the target.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from distill.augment_config import SpectrogramConfig

_NEPER_PER_DB = math.log(10.0) / 10.0  # of power, in natural logarithm


def augment_spectrogram(
    features: Tensor, std: Tensor, config: SpectrogramConfig, rng: np.random.Generator
) -> Tensor:
    """Augmented copy of float32 (B, 1, n_mels, n_frames); `std` (n_mels,) is the contract's normalisation.

    Every clip of the batch gets its own gain, roll and masks.
    """
    batch, _, n_mels, n_frames = features.shape
    rolled = _roll(features, torch.from_numpy(rng.integers(n_frames, size=batch)))
    gain = torch.from_numpy(rng.uniform(-config.gain_db, config.gain_db, size=batch)).to(features)
    steps = gain[:, None] * _NEPER_PER_DB / std.to(features)
    mels = _band(batch, n_mels, config.mel_mask, rng).to(features.device)
    frames = _band(batch, n_frames, config.frame_mask, rng).to(features.device)
    louder = rolled.add_(steps[:, None, :, None])
    return louder.masked_fill_(mels[:, None, :, None], 0.0).masked_fill_(frames[:, None, None, :], 0.0)


def _roll(features: Tensor, shift: Tensor) -> Tensor:
    """Each clip moved right by its `shift` (B,) frames; what leaves at the end comes in at the start."""
    n_frames = features.shape[3]
    source = (torch.arange(n_frames) - shift[:, None]) % n_frames
    index = source.to(features.device)[:, None, None, :].expand(features.shape)
    return features.gather(3, index)


def _band(batch: int, size: int, widest: int, rng: np.random.Generator) -> Tensor:
    """True (batch, size) on one band a row, of 0 to `widest` places, anywhere."""
    width = rng.integers(0, min(widest, size) + 1, size=batch)
    start = rng.integers(0, size - width + 1)
    places = np.arange(size)
    band = (places >= start[:, None]) & (places < (start + width)[:, None])
    return torch.from_numpy(band)
