"""The front end against librosa, torchaudio and closed forms.

Bounds are absolute, on the natural logarithm of power; float64 implementations agree to rounding.
The float32 module and its graphs are compared with numpy in test_logmel.py.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from acula_edge.contract import Affine, AudioContract
from acula_edge.errors import ContractError, DataError
from acula_edge.frontend import (
    MIN_STD,
    learn_normalisation,
    log_mel,
    log_mel_module,
    mel_filterbank,
    unnormalised_log_mel,
)
from tests.recordings import clips

FLOAT64_BOUND = 1e-9  # numpy against librosa and torchaudio, both in float64
FLOAT32_BOUND = 1e-5  # numpy against librosa with float32 samples

TORCHAUDIO = "torchaudio==2.11.0"
SMALL = AudioContract.make(
    sample_rate_hz=1000,
    clip_samples=40,
    window_samples=16,
    hop_samples=8,
    n_fft=32,
    n_mels=3,
    f_min_hz=50.0,
    f_max_hz=500.0,
)
GOLDEN_PCM = """
-652 -1884 -218 -1821 -1295 17 -1921 685 1339 -627 1977 -1764 -690 -1073 1476 -1368 -663 854 101 -1034
1356 1637 1848 -1056 -169 -1241 -1565 268 37 1674 -1736 1976 195 -446 -480 -997 -1974 409 -1047 -561
"""
# From a double loop over samples and bins (math.fsum) and librosa.filters.mel.
GOLDEN = [
    [-8.267402515, -9.649543460, -7.650015462, -8.900391780],
    [-8.636836065, -7.783823466, -9.048195004, -8.494169464],
    [-7.394276635, -8.417364265, -8.588514940, -7.781583280],
]

CONTRACTS = {
    "default": AudioContract(),
    "wide": AudioContract.make(
        sample_rate_hz=16000, window_samples=400, hop_samples=160, n_fft=512, n_mels=64, f_max_hz=8000.0
    ),
    "narrow": AudioContract.make(n_mels=20, f_min_hz=100.0, f_max_hz=800.0, log_floor=1e-6),
}


def librosa_power(pcm: NDArray[np.int16], contract: AudioContract, dtype: type) -> NDArray[np.floating]:
    """librosa centres a short window in the DFT: zeros in front put its frames where ours are."""
    lead = (contract.n_fft - contract.window_samples) // 2
    signal = np.pad((pcm / 32768).astype(dtype), ((0, 0), (lead, contract.n_fft)))
    power = librosa.feature.melspectrogram(
        y=signal,
        sr=contract.sample_rate_hz,
        n_fft=contract.n_fft,
        win_length=contract.window_samples,
        hop_length=contract.hop_samples,
        n_mels=contract.n_mels,
        fmin=contract.f_min_hz,
        fmax=contract.f_max_hz,
        center=False,
        dtype=dtype,
    )
    return power[..., : contract.n_frames]


def worst(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one - other).max())


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, FLOAT64_BOUND), (np.float32, FLOAT32_BOUND)])
def test_numpy_equals_librosa_on_recordings(name: str, dtype: type, bound: float) -> None:
    contract = CONTRACTS[name]
    power = librosa_power(clips(), contract, dtype)
    expected = np.log(np.maximum(power, contract.log_floor))
    assert worst(unnormalised_log_mel(clips(), contract), expected) < bound


@pytest.fixture(scope="module")
def torchaudio_folder(request: pytest.FixtureRequest) -> Path:
    """torchaudio in a folder of its own: its wheel is linked against CUDA and breaks its neighbours."""
    folder = request.config.cache.mkdir(TORCHAUDIO.replace("==", "-"))
    if not (folder / "torchaudio" / "transforms").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        subprocess.run([*command, "--target", str(folder), TORCHAUDIO], check=True)
    return folder


TORCHAUDIO_PROGRAM = """
import json, sys, types
import numpy as np, torch
stub = types.ModuleType("torchaudio._extension")
stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
stub.fail_if_no_align = lambda function: function
sys.modules["torchaudio._extension"] = stub
sys.path.insert(0, sys.argv[1])
from torchaudio.transforms import MelSpectrogram
torch.set_default_dtype(torch.float64)
signal = torch.from_numpy(np.load(sys.argv[2]) / 32768)
np.save(sys.argv[3], MelSpectrogram(**json.loads(sys.argv[4]))(signal).numpy())
"""


def test_numpy_equals_torchaudio_on_recordings(torchaudio_folder: Path, tmp_path: Path) -> None:
    contract = AudioContract()
    options = {
        "sample_rate": contract.sample_rate_hz,
        "n_fft": contract.n_fft,
        "win_length": contract.window_samples,
        "hop_length": contract.hop_samples,
        "f_min": contract.f_min_hz,
        "f_max": contract.f_max_hz,
        "n_mels": contract.n_mels,
        "center": False,
        "norm": "slaney",
        "mel_scale": "slaney",
    }
    pcm, out = tmp_path / "pcm.npy", tmp_path / "power.npy"
    np.save(pcm, clips())
    arguments = [str(torchaudio_folder), str(pcm), str(out), json.dumps(options)]
    subprocess.run([sys.executable, "-c", TORCHAUDIO_PROGRAM, *arguments], check=True)
    expected = np.log(np.maximum(np.load(out), contract.log_floor))
    assert worst(unnormalised_log_mel(clips(), contract), expected) < FLOAT64_BOUND


def test_golden_vector() -> None:
    pcm = np.array(GOLDEN_PCM.split(), dtype=np.int16)
    np.testing.assert_allclose(log_mel(pcm, SMALL), GOLDEN, atol=1e-6)
    np.testing.assert_allclose(log_mel_module(SMALL)(torch.from_numpy(pcm[None]))[0, 0], GOLDEN, atol=1e-5)


@pytest.mark.parametrize("amplitude", [10, 1000, 32767])
def test_a_tone_on_a_bin_has_its_closed_form_power(amplitude: int) -> None:
    """A cosine of amplitude a on bin k has |DFT|^2 = (a N / 4)^2 there, and a quarter of it on each side."""
    contract = AudioContract()
    n, k = contract.window_samples, 40
    wave = amplitude * np.cos(2 * np.pi * k * np.arange(contract.clip_samples) / n)
    pcm = np.round(wave).astype(np.int16)
    peak = (amplitude / 32768 * n / 4) ** 2
    bank = mel_filterbank(contract)
    expected = peak * (bank[:, k] + 0.25 * (bank[:, k - 1] + bank[:, k + 1]))
    band = int(expected.argmax())
    measured = np.exp(unnormalised_log_mel(pcm, contract)[band])
    np.testing.assert_allclose(measured, expected[band], rtol=0.5 / amplitude)


def test_filters_have_unit_area() -> None:
    """Slaney's normalisation: a band that is wide against a bin integrates to 1 over frequency."""
    contract = AudioContract.make(sample_rate_hz=16000, window_samples=4096, n_fft=4096, f_max_hz=8000.0)
    areas = mel_filterbank(contract).sum(axis=1) * contract.sample_rate_hz / contract.n_fft
    np.testing.assert_allclose(areas, 1.0, atol=0.02)


def test_silence_gives_the_log_floor() -> None:
    silence = np.zeros((2, SMALL.clip_samples), dtype=np.int16)
    np.testing.assert_array_equal(unnormalised_log_mel(silence, SMALL), math.log(SMALL.log_floor))
    features = log_mel_module(SMALL)(torch.from_numpy(silence))
    np.testing.assert_allclose(features, math.log(SMALL.log_floor), rtol=1e-6)


@given(pcm=hnp.arrays(np.int16, SMALL.clip_samples))
def test_any_clip_gives_finite_features_of_the_stated_shape(pcm: NDArray[np.int16]) -> None:
    features = log_mel(pcm, SMALL)
    assert features.shape == (SMALL.n_mels, SMALL.n_frames)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert features.min() >= np.float32(math.log(SMALL.log_floor))
    graph = log_mel_module(SMALL)(torch.from_numpy(pcm[None]))
    assert graph.shape == (1, 1, SMALL.n_mels, SMALL.n_frames)
    assert worst(graph.numpy()[0, 0], features) < 0.1  # a band at the floor beside full-scale noise


@given(
    pcm=hnp.arrays(np.int16, SMALL.clip_samples, elements=st.integers(-4000, 4000)), gain=st.integers(2, 8)
)
def test_gain_adds_a_constant_above_the_floor(pcm: NDArray[np.int16], gain: int) -> None:
    quiet = unnormalised_log_mel(pcm, SMALL)
    loud = unnormalised_log_mel((pcm * gain).astype(np.int16), SMALL)
    above = quiet > math.log(SMALL.log_floor)
    np.testing.assert_allclose(loud[above], quiet[above] + 2 * math.log(gain), atol=1e-9)
    assert (loud >= quiet).all()


@given(
    window=st.integers(16, 64),
    hop=st.integers(1, 64),
    extra=st.integers(0, 300),
    n_fft=st.sampled_from([64, 128]),
)
@settings(max_examples=50)
def test_frames_are_counted_as_windows_that_fit(window: int, hop: int, extra: int, n_fft: int) -> None:
    contract = AudioContract.make(
        window_samples=window,
        hop_samples=min(hop, window),
        clip_samples=window + extra,
        n_fft=n_fft,
        n_mels=8,
        f_min_hz=0.0,
    )
    starts = range(0, contract.clip_samples - window + 1, contract.hop_samples)
    pcm = np.zeros((1, contract.clip_samples), dtype=np.int16)
    assert contract.n_frames == len(starts)
    assert log_mel(pcm, contract).shape == (1, 8, len(starts))
    assert log_mel_module(contract)(torch.from_numpy(pcm)).shape == (1, 1, 8, len(starts))


def test_a_frame_sees_only_its_own_window() -> None:
    """Causal framing: changing samples from frame t + 1's end on changes no frame up to t."""
    pcm = np.array(GOLDEN_PCM.split(), dtype=np.int16)
    changed = pcm.copy()
    changed[SMALL.hop_samples + SMALL.window_samples :] = 30000
    np.testing.assert_array_equal(log_mel(changed, SMALL)[:, :2], log_mel(pcm, SMALL)[:, :2])
    assert (log_mel(changed, SMALL)[:, 2:] != log_mel(pcm, SMALL)[:, 2:]).all()


@pytest.mark.parametrize(
    "pcm",
    [np.zeros(40, np.float32), np.zeros(41, np.int16), np.zeros((40, 2), np.int16), np.zeros((), np.int16)],
)
def test_other_samples_are_refused(pcm: NDArray[np.int16]) -> None:
    with pytest.raises(ContractError, match="int16 clips of 40 samples"):
        log_mel(pcm, SMALL)


def test_learned_normalisation_whitens_each_band() -> None:
    plain = AudioContract()
    batches = [clips()[:3], clips()[3:4], clips()[4:]]
    contract = plain.with_normalisation(learn_normalisation(batches, plain))
    features = log_mel(clips(), contract).astype(np.float64)
    np.testing.assert_allclose(features.mean(axis=(0, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(features.std(axis=(0, 2)), 1.0, atol=1e-5)


def test_learning_is_deterministic_and_hardly_depends_on_batches() -> None:
    plain = AudioContract()
    once = learn_normalisation([clips()], plain)
    assert learn_normalisation([clips()], plain) == once
    split = learn_normalisation((clip[None] for clip in clips()), plain)
    np.testing.assert_allclose([split.mean, split.std], [once.mean, once.std], atol=2e-6)


def test_a_constant_band_is_not_blown_up() -> None:
    silence = np.zeros((1, SMALL.clip_samples), dtype=np.int16)
    floor = round(math.log(SMALL.log_floor), 6)
    assert learn_normalisation([silence], SMALL) == Affine(mean=(floor,) * 3, std=(MIN_STD,) * 3)


def test_no_training_clip_is_an_error() -> None:
    with pytest.raises(DataError, match="no clip"):
        learn_normalisation([], SMALL)


def test_numpy_front_end_imports_no_torch() -> None:
    program = "import sys, acula_edge.frontend; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
