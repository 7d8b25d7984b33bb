"""OPERA's features against librosa, called as OPERA's code calls it."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from acula_edge.data.audio import resample, to_float32
from acula_edge.encoders.opera_frontend import RATE_HZ, OperaMel, repeat_to, trim
from tests.recordings import RATE_HZ as CLIP_RATE_HZ
from tests.recordings import clips

# Of values from 0 to 1. The logarithm of near silence magnifies float32's rounding, most of it librosa's.
MAX_ERROR = 5e-4
MEAN_ERROR = 1e-6
CLIP_SAMPLES = 8 * RATE_HZ
GT_SAMPLES = 130_880


def heard() -> NDArray[np.float32]:
    """A clip of 8 s at 16 kHz from each test recording."""
    return np.stack([resample(to_float32(clip), CLIP_RATE_HZ, RATE_HZ) for clip in clips()])


def as_opera(waveform: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """What OPERA's code computes for a clip of `samples` at most: (T, 64)."""
    sound, _ = librosa.effects.trim(waveform, frame_length=1600, hop_length=800)
    left = samples - len(sound)
    more = sound
    while len(more) < left:
        more = np.concatenate([more, more])
    filled = np.concatenate([more[len(more) - left :], sound])
    power = librosa.feature.melspectrogram(
        y=filled, sr=RATE_HZ, n_mels=64, fmin=50, fmax=8000, n_fft=1024, hop_length=512
    )
    decibel = librosa.power_to_db(power, ref=np.max)
    scaled: NDArray[np.float32] = (decibel - decibel.min()) / (decibel.max() - decibel.min())
    return scaled.T


@pytest.mark.parametrize(("samples", "frames"), [(CLIP_SAMPLES, 251), (GT_SAMPLES, 256)])
def test_features_equal_librosa_on_real_recordings(samples: int, frames: int) -> None:
    waveforms = heard()
    features = OperaMel(samples)(torch.from_numpy(waveforms)).numpy()
    assert features.shape == (len(waveforms), frames, 64)
    expected = np.stack([as_opera(waveform, samples) for waveform in waveforms])
    assert np.abs(features - expected).max() < MAX_ERROR
    assert np.abs(features - expected).mean() < MEAN_ERROR


def test_silent_ends_are_trimmed_and_the_clip_repeated_as_opera_does() -> None:
    waveforms = heard()[:, 20_000:60_000]
    padded = np.pad(waveforms, ((0, 0), (5_000, 9_000)))
    features = OperaMel(CLIP_SAMPLES)(torch.from_numpy(padded)).numpy()
    expected = np.stack([as_opera(waveform, CLIP_SAMPLES) for waveform in padded])
    assert np.abs(features - expected).max() < MAX_ERROR


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30_000), st.integers(0, 30_000), st.floats(-70, -50))
def test_trim_equals_librosa(seed: int, before: int, after: int, quiet_db: float) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=before + 9_000 + after).astype(np.float32)
    signal[:before] *= 10 ** (quiet_db / 20)
    signal[before + 9_000 :] = 0
    expected, _ = librosa.effects.trim(signal, frame_length=1600, hop_length=800)
    assert np.array_equal(trim(torch.from_numpy(signal)).numpy(), expected)


@given(st.integers(1, 50), st.integers(0, 200))
def test_repeats_end_with_the_clip(n: int, more: int) -> None:
    clip = torch.arange(n)
    filled = repeat_to(clip, n + more)
    assert filled.shape == (n + more,)
    assert torch.equal(filled[-n:], clip)
    assert torch.equal(filled, (torch.arange(n + more) - more) % n)


def test_silence_gives_zeros_and_a_longer_clip_keeps_its_length() -> None:
    features = OperaMel(CLIP_SAMPLES)(torch.zeros(1, 2 * CLIP_SAMPLES))
    assert features.shape == (1, 501, 64)
    assert not features.any()


def test_each_clip_stands_alone() -> None:
    mel = OperaMel(CLIP_SAMPLES)
    waveforms = torch.from_numpy(heard()[:3])
    alone = torch.cat([mel(waveform[None]) for waveform in waveforms])
    assert torch.allclose(mel(waveforms), alone, atol=1e-6)
