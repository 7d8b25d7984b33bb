"""Changes of a waveform are what their parameters say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from distill import augment_waveform as waveform
from tests.recordings import RATE_HZ, some_clips

SOUNDS = [clip.astype(np.float32) / 32768 for clip in some_clips(4)]
SOUND = st.sampled_from(range(len(SOUNDS))).map(SOUNDS.__getitem__)


def _power(sound: np.ndarray) -> float:
    return float(np.mean(sound.astype(np.float64) ** 2))


@given(SOUND, st.floats(-24, 24))
def test_gain_is_exact(sound: np.ndarray, gain_db: float) -> None:
    louder = waveform.gain(sound, gain_db)
    assert louder.dtype == np.float32
    assert 10 * np.log10(_power(louder) / _power(sound)) == pytest.approx(gain_db, abs=1e-4)


@given(SOUND, st.floats(-10, 40), st.integers(0, 2**32 - 1), st.floats(1e-3, 10))
def test_noise_stands_at_the_stated_ratio(sound: np.ndarray, snr_db: float, seed: int, level: float) -> None:
    noise = (level * np.random.default_rng(seed).normal(size=sound.size)).astype(np.float32)
    noisy = waveform.add_noise(sound, noise, snr_db)
    added = noisy.astype(np.float64) - sound
    assert 10 * np.log10(_power(sound) / _power(added)) == pytest.approx(snr_db, abs=1e-2)
    assert np.corrcoef(added, noise)[0, 1] > 0.999


def test_silence_stays_silent_and_no_noise_changes_nothing() -> None:
    silence, sound = np.zeros(8000, np.float32), SOUNDS[0][:8000]
    assert not waveform.add_noise(silence, sound, 10.0).any()
    assert np.array_equal(waveform.add_noise(sound, silence, 10.0), sound)


@given(SOUND, st.integers(0, 32000))
def test_shift_is_circular(sound: np.ndarray, samples: int) -> None:
    moved = waveform.shift(sound, samples)
    assert np.array_equal(moved, sound[(np.arange(sound.size) - samples) % sound.size])


@given(SOUND, SOUND, st.floats(0, 1))
def test_mixup_is_linear(sound: np.ndarray, other: np.ndarray, share: float) -> None:
    mixed = waveform.mixup(sound, other, share)
    expected = share * sound.astype(np.float64) + (1 - share) * other.astype(np.float64)
    assert np.abs(mixed - expected).max() < 1e-6
    both = mixed + waveform.mixup(other, sound, share)
    assert np.abs(both - (sound + other)).max() < 1e-6


@pytest.mark.parametrize("band_hz", [500, 801, 1500])
def test_band_limit_stops_what_is_above_and_passes_what_is_below(band_hz: int) -> None:
    noise = np.random.default_rng(0).normal(size=8 * RATE_HZ).astype(np.float32)
    limited = waveform.band_limit(noise, RATE_HZ, band_hz)
    assert limited.shape == noise.shape
    middle = slice(RATE_HZ, -RATE_HZ)  # a piece of endless noise ends in steps, which have every frequency
    hz, before = signal.welch(noise[middle], RATE_HZ, window="blackmanharris", nperseg=2048)
    _, after = signal.welch(limited[middle], RATE_HZ, window="blackmanharris", nperseg=2048)
    ratio_db = 10 * np.log10(after / before)
    assert ratio_db[hz > 1.02 * band_hz].max() < -80
    assert np.abs(ratio_db[hz < 0.88 * band_hz]).max() < 0.1


@given(SOUND, st.floats(0.001, 0.3))
def test_clipping_cuts_the_stated_fraction(sound: np.ndarray, fraction: float) -> None:
    clipped = waveform.clip(sound, fraction)
    level = np.abs(clipped).max()
    cut = np.abs(sound) > level
    ties = np.mean(np.abs(sound) == level)  # 16 bits: several samples may lie on the level itself
    assert fraction - ties - 1e-3 <= cut.mean() <= fraction + 1e-3
    assert np.array_equal(clipped[~cut], sound[~cut])
    assert np.array_equal(np.sign(clipped[cut]), np.sign(sound[cut]))
    assert np.allclose(np.abs(clipped[cut]), level)
