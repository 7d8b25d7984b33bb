"""Microphone filters against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from distill.microphones import Microphone, Response, draw_response, hear, magnitude, taps
from tests.recordings import RATE_HZ, some_clips

RESPONSES = [draw_response(np.random.default_rng(seed)) for seed in range(12)]
FLAT = Response(microphone="bell", low_hz=1e-3, high_hz=1e6, tilt_db=0, peak_hz=100, peak_db=0)


@pytest.mark.parametrize("rate_hz", [2000, 4000, 16000])
@pytest.mark.parametrize("response", RESPONSES[:4])
def test_taps_are_those_of_firwin2(response: Response, rate_hz: int) -> None:
    own = taps(response, rate_hz)
    grid_hz = np.linspace(0, rate_hz / 2, 2049)
    expected = signal.firwin2(own.size, grid_hz, magnitude(response, grid_hz), nfreqs=2049, fs=rate_hz)
    assert own.size % 2 == 1
    assert np.abs(own - expected).max() < 1e-12


@pytest.mark.parametrize("response", RESPONSES)
def test_the_filter_has_the_magnitude_it_states(response: Response) -> None:
    hz = np.array([100.0, 200.0, 300.0, 500.0, 800.0, 1200.0])
    _, found = signal.freqz(taps(response, RATE_HZ), worN=hz, fs=RATE_HZ)
    difference_db = 20 * np.log10(np.abs(found) / magnitude(response, hz))
    assert np.abs(difference_db).max() < 1.5


def test_without_tilt_and_resonance_it_is_a_butterworth_band_pass() -> None:
    response = Response(microphone="diaphragm", low_hz=80, high_hz=700, tilt_db=0, peak_hz=100, peak_db=0)
    hz = np.linspace(20, 1900, 50)
    high = signal.freqs(*signal.butter(2, 2 * np.pi * 80, "highpass", analog=True), 2 * np.pi * hz)[1]
    low = signal.freqs(*signal.butter(2, 2 * np.pi * 700, analog=True), 2 * np.pi * hz)[1]
    assert np.allclose(magnitude(response, hz), np.abs(high * low), rtol=1e-9)


def test_tilt_is_in_decibel_per_octave_and_the_resonance_at_its_place() -> None:
    tilted = FLAT.model_copy(update={"tilt_db": 1.5})
    low, high = 20 * np.log10(magnitude(tilted, np.array([400.0, 800.0])))
    assert high - low == pytest.approx(1.5, abs=1e-6)
    peaked = FLAT.model_copy(update={"peak_hz": 300.0, "peak_db": 5.0})
    at_peak, far = 20 * np.log10(magnitude(peaked, np.array([300.0, 2400.0])))
    assert at_peak == pytest.approx(5.0, abs=1e-6)
    assert far == pytest.approx(0.0, abs=1e-3)


def test_hearing_keeps_level_length_and_place() -> None:
    for clip in some_clips(3):
        sound = clip.astype(np.float32) / 32768
        for response in RESPONSES[:3]:
            heard = hear(sound, response, RATE_HZ)
            assert heard.shape == sound.shape
            assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=1e-4)
    click = np.zeros(4001, np.float32)
    click[2000] = 1.0
    assert int(np.abs(hear(click, FLAT, RATE_HZ)).argmax()) == 2000


def test_every_microphone_is_drawn_with_its_own_band() -> None:
    drawn = [draw_response(np.random.default_rng(seed)) for seed in range(60)]
    assert {response.microphone for response in drawn} == set(Microphone)
    tops = {kind: [r.high_hz for r in drawn if r.microphone is kind] for kind in Microphone}
    assert max(tops[Microphone.BELL]) < min(tops[Microphone.DIAPHRAGM]) < min(tops[Microphone.PHONE])
    assert all(len(set(values)) == len(values) for values in tops.values())
