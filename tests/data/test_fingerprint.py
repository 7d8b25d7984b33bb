"""Fingerprints: filters and gains of one sound are found, other sounds are not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import scipy.signal

from acula_edge.artifact import Artifact
from acula_edge.data.audio import to_int16
from acula_edge.data.dataset import Dataset
from acula_edge.data.fingerprint import Fingerprint, fingerprint, near_duplicates
from acula_edge.data.recording import Split
from tests.data.sounds import noise

RATE_HZ = 4000


def bursts(seed: int) -> np.ndarray:
    """Noise whose loudness changes at random, in 8 s."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(np.exp(rng.normal(0, 1, 80)), RATE_HZ // 10)
    return 0.3 * loudness * noise(seed, 8.0, RATE_HZ)


def shapes(*sounds: np.ndarray) -> list[Fingerprint]:
    return [fingerprint(to_int16(sound), RATE_HZ) for sound in sounds]


@pytest.mark.parametrize("band_hz", [(40, 200), (80, 500), (20, 1000)])
def test_a_filter_and_a_gain_are_seen_through(band_hz: tuple[int, int]) -> None:
    sos = scipy.signal.butter(2, band_hz, "bandpass", fs=RATE_HZ, output="sos")
    sound = bursts(1)
    assert list(near_duplicates(shapes(sound, 0.5 * scipy.signal.sosfilt(sos, sound)))) == [(0, 1)]


def test_other_sounds_differ() -> None:
    assert list(near_duplicates(shapes(*(bursts(seed) for seed in range(12))))) == []


def test_a_hum_and_a_short_sound_have_no_shape() -> None:
    time = np.arange(8 * RATE_HZ) / RATE_HZ
    hum = np.sin(2 * np.pi * 120 * time)
    short = bursts(0)[: RATE_HZ // 2]
    prints = shapes(hum, 0.5 * hum, short, short)
    assert all(not found.shape.any() for found in prints)
    assert list(near_duplicates(prints)) == []


def test_none_and_many_blocks() -> None:
    assert list(near_duplicates([])) == []
    level = np.zeros(16, np.float32)
    many = [Fingerprint(shape, level) for shape in np.eye(1192, dtype=np.float32)]
    assert list(near_duplicates(many)) == []
    assert list(near_duplicates([*many, many[7], many[1100]])) == [(7, 1192), (1100, 1193)]


def test_filters_of_the_collection_are_found(mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    takes = [recording for recording in dataset.of(*Split) if recording.dataset == "kauh"]
    prints = [fingerprint(dataset.pcm(recording), recording.sample_rate_hz) for recording in takes]
    pairs = combinations(range(len(takes)), 2)
    same = {(i, j) for i, j in pairs if takes[i].patient == takes[j].patient}
    assert set(near_duplicates(prints)) == same
