"""The simulated way from the chest to the file: band-limited noise, chest piece, sensor noise, gain."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from acula_edge.data.audio import Floats

RATE_HZ = 4000
SECONDS = 8.0
N_SAMPLES = int(RATE_HZ * SECONDS)
_SNR_DB = (10.0, 30.0)
_GAIN_DB = (-12.0, 0.0)
_PEAK = 0.7


class ChestPiece(StrEnum):
    """Filter of a stethoscope, after the modes of electronic ones."""

    BELL = "bell"
    DIAPHRAGM = "diaphragm"
    EXTENDED = "extended range"


# Pass bands in Hz, as the makers of electronic stethoscopes state them for their three modes.
_BANDS_HZ = {
    ChestPiece.BELL: (20.0, 400.0),
    ChestPiece.DIAPHRAGM: (80.0, 700.0),
    ChestPiece.EXTENDED: (20.0, 1500.0),
}


def shape(sound: Floats, low_hz: float, high_hz: float, order: int = 2) -> Floats:
    """`sound` (n,) through a zero-phase band pass with the magnitude of a Butterworth filter."""
    frequency_hz = np.fft.rfftfreq(sound.size, 1 / RATE_HZ)
    below = 1 / np.sqrt(1 + (low_hz / np.maximum(frequency_hz, 1e-3)) ** (2 * order))
    above = 1 / np.sqrt(1 + (frequency_hz / high_hz) ** (2 * order))
    return np.fft.irfft(np.fft.rfft(sound) * below * above, sound.size).astype(np.float32)


def noise_band(n: int, low_hz: float, high_hz: float, rng: np.random.Generator, order: int = 2) -> Floats:
    """Gaussian noise (n,) in a band, with root mean square 1."""
    noise = shape(rng.standard_normal(n).astype(np.float32), low_hz, high_hz, order)
    return np.asarray(noise / np.sqrt(np.mean(noise**2) + 1e-12), dtype=np.float32)


def add_at(track: Floats, start_seconds: float, sound: Floats) -> None:
    """Add `sound` to `track` in place; what lies outside of the track is lost."""
    start = round(start_seconds * RATE_HZ)
    low, high = max(0, start), min(track.size, start + sound.size)
    if low < high:
        track[low:high] += sound[low - start : high - start]


def record(sound: Floats, piece: ChestPiece, rng: np.random.Generator) -> Floats:
    """What the sensor gives for `sound` (n,): filtered, noisy at 10 to 30 dB, at one of many gains."""
    heard = shape(sound, *_BANDS_HZ[piece])
    snr = 10 ** (rng.uniform(*_SNR_DB) / 20)
    noise = noise_band(sound.size, 20.0, 800.0, rng, order=1)
    heard = heard + noise * np.sqrt(np.mean(heard**2)) / snr
    gain = 10 ** (rng.uniform(*_GAIN_DB) / 20)
    return np.asarray(_PEAK * gain * heard / (np.abs(heard).max() + 1e-12), dtype=np.float32)
