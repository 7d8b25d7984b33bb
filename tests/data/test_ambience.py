"""Bandwidth and noise floor against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acula_edge.data.ambience import ambience
from acula_edge.data.audio import to_int16
from tests.data.sounds import noise


@pytest.mark.parametrize("pitch_hz", [60, 300, 1500])
@pytest.mark.parametrize("rate_hz", [4000, 8000, 16000])
def test_a_tone_is_as_wide_as_its_pitch(pitch_hz: float, rate_hz: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(4 * rate_hz) / rate_hz)
    found = ambience(to_int16(tone), rate_hz)
    assert abs(found.bandwidth_hz - pitch_hz) <= 20  # a bin is 10 Hz, the window four of them
    assert found.noise_floor_db == pytest.approx(10 * np.log10(0.5**2 / 2), abs=0.1)


@pytest.mark.parametrize("cut_hz", [200, 500, 1500])
def test_filtered_noise_is_as_wide_as_its_filter(cut_hz: float) -> None:
    sos = scipy.signal.butter(12, cut_hz, fs=8000, output="sos")
    found = ambience(to_int16(scipy.signal.sosfilt(sos, noise(0, 8.0, 8000))), 8000)
    assert found.bandwidth_hz == pytest.approx(cut_hz, rel=0.1)


def test_white_noise_fills_the_band() -> None:
    assert ambience(to_int16(noise(0, 8.0)), 4000).bandwidth_hz == pytest.approx(0.99 * 2000, abs=15)


def test_the_floor_is_that_of_the_pauses() -> None:
    loud, quiet = noise(0, 4.0), 0.1 * noise(1, 4.0)
    found = ambience(to_int16(np.concatenate([loud, quiet])), 4000)
    assert found.noise_floor_db == pytest.approx(20 * np.log10(0.005), abs=0.7)


@given(hnp.arrays(np.int16, st.integers(1, 3000)), st.sampled_from([10, 2000, 4000, 16000]))
def test_any_recording_has_finite_figures(pcm: np.ndarray, rate_hz: int) -> None:
    found = ambience(pcm, rate_hz)
    assert 0 <= found.bandwidth_hz <= rate_hz / 2
    assert -120 <= found.noise_floor_db <= 0.01
