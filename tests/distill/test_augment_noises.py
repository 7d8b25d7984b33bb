"""Generated noises have the character that their names promise; recorded ones come from their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal
from scipy.stats import kurtosis

from acula_edge.errors import DataError
from distill.noise_folder import NoiseFolder
from distill.noises import GENERATED, NoiseKind, generate

RATE_HZ, N = 4000, 32000


def _noise(kind: NoiseKind, seed: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    return generate(kind, N, rate_hz, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", GENERATED)
@pytest.mark.parametrize("rate_hz", [1000, 4000, 16000])
def test_noise_has_unit_power_and_follows_its_seed(kind: NoiseKind, rate_hz: int) -> None:
    first, again, other = (_noise(kind, seed, rate_hz) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    assert first.shape == (N,)
    assert np.mean(first.astype(np.float64) ** 2) == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(first, again)
    assert abs(float(np.corrcoef(first, other)[0, 1])) < 0.9


def _flatness(noise: np.ndarray) -> float:
    """Geometric over arithmetic mean of the power spectrum: 1 for white noise, 0 for a tone."""
    power = signal.welch(noise, RATE_HZ, nperseg=4096)[1][1:] + 1e-20
    return float(np.exp(np.log(power).mean()) / power.mean())


def test_hum_is_the_mains_and_its_harmonics() -> None:
    for seed in range(6):
        hz, power = signal.welch(_noise(NoiseKind.HUM, seed), RATE_HZ, nperseg=16384)
        near = np.minimum(*(np.abs(hz - mains * np.round(hz / mains)) for mains in (50, 60))) < 4
        assert power[near & (hz > 40)].sum() > 0.98 * power.sum()


def test_alarms_are_tones_with_silence_between() -> None:
    for seed in range(6):
        noise = _noise(NoiseKind.ALARM, seed)
        frames = np.square(noise.reshape(-1, 200)).mean(axis=1)
        assert 0.1 < np.mean(frames < 1e-6) < 0.95
        assert _flatness(noise) < 0.05


def test_a_ward_is_broadband_and_steady() -> None:
    for seed in range(6):
        noise = _noise(NoiseKind.WARD, seed)
        assert _flatness(noise) > 0.3
        assert np.square(noise.reshape(-1, 4000)).mean(axis=1).min() > 0.03


def test_speech_is_modulated_as_syllables_are_and_shaped_by_formants() -> None:
    ratios = []
    for seed in range(6):
        noise = _noise(NoiseKind.SPEECH, seed)
        envelope = np.abs(signal.hilbert(noise))
        hz, power = signal.welch(envelope - envelope.mean(), RATE_HZ, nperseg=8000)
        ratios.append(power[(hz >= 2) & (hz <= 10)].sum() / power[hz <= 40].sum())
        hz, power = signal.welch(noise, RATE_HZ)
        assert power[(hz > 90) & (hz < 1300)].sum() > 0.7 * power.sum()
    assert np.median(ratios) > 0.5


def test_handling_comes_in_bursts_of_low_frequency() -> None:
    for seed in range(6):
        noise = _noise(NoiseKind.HANDLING, seed)
        hz, power = signal.welch(noise, RATE_HZ)
        assert power[hz < 1000].sum() > 0.9 * power.sum()
    assert np.median([kurtosis(_noise(NoiseKind.HANDLING, seed)) for seed in range(6)]) > 3


def test_recorded_noise_is_cut_from_its_file(tmp_path: Path) -> None:
    long = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * N)
    (tmp_path / "ward").mkdir()
    soundfile.write(tmp_path / "ward" / "long.wav", long, RATE_HZ, "FLOAT")
    soundfile.write(tmp_path / "short.wav", long[:1000], RATE_HZ, "FLOAT")
    folder = NoiseFolder.open(tmp_path)
    assert folder.names == ("short.wav", "ward/long.wav")
    cuts = [folder.cut("ward/long.wav", N, RATE_HZ, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    wanted = long.astype(np.float32)
    start = int(np.flatnonzero(wanted == cuts[0][0])[0])
    assert np.array_equal(cuts[0], wanted[start : start + N])
    assert np.array_equal(cuts[0], cuts[1])
    assert not np.array_equal(cuts[0], cuts[2])
    repeated = folder.cut("short.wav", N, RATE_HZ, np.random.default_rng(0))
    assert np.array_equal(repeated, np.resize(wanted[:1000], N))
    assert folder.cut("ward/long.wav", N, 8000, np.random.default_rng(0)).shape == (N,)


def test_a_folder_of_noise_is_known_by_its_bytes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"noise_folder: .* holds no audio file"):
        NoiseFolder.open(tmp_path)
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE_HZ)
    before = NoiseFolder.open(tmp_path).digest
    assert NoiseFolder.open(tmp_path).digest == before
    soundfile.write(tmp_path / "a.wav", np.full(100, 0.5), RATE_HZ)
    assert NoiseFolder.open(tmp_path).digest != before
