"""Changes of a waveform: each a pure function of samples and of parameters drawn before."""

from __future__ import annotations

import numpy as np

from acula_edge.data.audio import Floats, resample


def gain(sound: Floats, gain_db: float) -> Floats:
    """`sound` (n,) louder by `gain_db`."""
    return np.asarray(sound * 10 ** (gain_db / 20), dtype=np.float32)


def shift(sound: Floats, samples: int) -> Floats:
    """`sound` (n,) later by `samples`; what leaves at the end comes in at the start."""
    return np.roll(sound, samples)


def mixup(sound: Floats, other: Floats, share: float) -> Floats:
    """share * sound + (1 - share) * other, both (n,) (Zhang et al., "mixup", ICLR 2018)."""
    return np.asarray(share * sound + (1 - share) * other, dtype=np.float32)


def add_noise(sound: Floats, noise: Floats, snr_db: float) -> Floats:
    """`sound` (n,) plus `noise` (n,), scaled so that their powers stand at `snr_db`; silence stays silent."""
    power, disturbing = (float(np.mean(np.square(part, dtype=np.float64))) for part in (sound, noise))
    if disturbing == 0:
        return sound
    scale = np.sqrt(power / disturbing) * 10 ** (-snr_db / 20)
    return np.asarray(sound + scale * noise, dtype=np.float32)


def band_limit(sound: Floats, rate_hz: int, band_hz: int) -> Floats:
    """What is left of `sound` (n,) after a recorder whose rate is twice `band_hz`, at `rate_hz` again."""
    narrow = resample(resample(sound, rate_hz, 2 * band_hz), 2 * band_hz, rate_hz)
    return np.pad(narrow[: sound.size], (0, max(0, sound.size - narrow.size)))


def clip(sound: Floats, fraction: float) -> Floats:
    """`sound` (n,) with its loudest `fraction` of samples cut off at one level."""
    level = np.quantile(np.abs(sound), 1 - fraction)
    return np.clip(sound, -level, level)
