"""The torch port of whisper-base's encoder against CTranslate2's run of the same file."""

from __future__ import annotations

import shutil
from pathlib import Path

import ctranslate2
import librosa
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from acula_edge import fetch
from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_float32
from acula_edge.encoders.registry import empty
from acula_edge.encoders.slaney import slaney_filters
from acula_edge.encoders.whisper import MAX_SAMPLES, MODEL_FILE, WhisperEncoder, load_whisper
from acula_edge.encoders.whisper_mel import RATE_HZ, WhisperMel
from acula_edge.errors import ArtifactError
from tests.recordings import RATE_HZ as CLIP_RATE_HZ
from tests.recordings import some_clips

MAX_MEL_ERROR = 1e-5  # of values from -1 to 2
MAX_FRAME_ERROR = 2e-3  # of values up to 25, after six layers whose hidden values reach 500


@pytest.fixture(scope="module")
def folder() -> Path:
    return fetch.add("whisper-base")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> WhisperEncoder:
    return load_whisper(folder)


@pytest.fixture(scope="module")
def heard() -> NDArray[np.float32]:
    """Real clips of 8 s at 16 kHz, of two data sets: float32 (2, 128000)."""
    return np.stack([resample(to_float32(clip), CLIP_RATE_HZ, RATE_HZ) for clip in some_clips(2)])


def test_features_equal_the_published_preprocessing(heard: NDArray[np.float32]) -> None:
    extractor = transformers.WhisperFeatureExtractor()
    expected = extractor(list(heard), sampling_rate=RATE_HZ, return_tensors="np")["input_features"]
    padded = np.pad(heard, ((0, 0), (0, MAX_SAMPLES - heard.shape[1])))
    mel = WhisperMel(80)(torch.from_numpy(padded))
    assert mel.shape == (len(heard), 80, 3000)
    assert np.abs(mel.numpy() - expected).max() < MAX_MEL_ERROR


def test_features_of_a_short_clip_equal_librosa(heard: NDArray[np.float32]) -> None:
    power = librosa.feature.melspectrogram(
        y=heard, sr=RATE_HZ, n_fft=400, hop_length=160, n_mels=80, pad_mode="reflect"
    )[..., :-1]
    log_power = np.log10(np.maximum(power, 1e-10))
    expected = (np.maximum(log_power, log_power.max(axis=(1, 2), keepdims=True) - 8) + 4) / 4
    mel = WhisperMel(80)(torch.from_numpy(heard))
    assert np.abs(mel.numpy() - expected).max() < 1e-3  # float32 against float64 filters and FFT


@pytest.mark.parametrize(
    ("n_mels", "n_fft", "f_min_hz"), [(80, 400, 0.0), (128, 400, 0.0), (64, 1024, 50.0), (8, 512, 2000.0)]
)
def test_mel_filters_equal_librosa(n_mels: int, n_fft: int, f_min_hz: float) -> None:
    expected = librosa.filters.mel(sr=RATE_HZ, n_fft=n_fft, n_mels=n_mels, fmin=f_min_hz, dtype=np.float64)
    assert np.abs(slaney_filters(n_mels, n_fft, f_min_hz).numpy() - expected).max() < 1e-12


def test_port_equals_the_original_on_real_clips(
    folder: Path, encoder: WhisperEncoder, heard: NDArray[np.float32]
) -> None:
    original = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    padded = torch.from_numpy(np.pad(heard, ((0, 0), (0, MAX_SAMPLES - heard.shape[1]))))
    for waveform in padded[:, None]:
        features = encoder.log_mel(waveform).numpy()
        expected = np.array(original.encode(ctranslate2.StorageView.from_array(features)))
        with torch.no_grad():
            frames = encoder.frames(waveform).numpy()
        assert frames.shape == expected.shape == (1, 1500, 512)
        assert np.abs(expected).max() > 5
        assert np.abs(frames - expected).max() < MAX_FRAME_ERROR


def test_three_layers_are_the_first_half_of_six(folder: Path, encoder: WhisperEncoder) -> None:
    short = load_whisper(folder, 3)
    waveform = torch.randn(1, 2 * RATE_HZ, generator=torch.Generator().manual_seed(1)) * 0.1
    after_fourth = encoder.trunk(waveform)
    assert torch.equal(encoder.layers[3](short.frames(waveform)), after_fourth)
    short.freeze_trunk()
    learning = {name.split(".")[1] for name, value in short.named_parameters() if value.requires_grad}
    assert learning == {"2", "project", "norm", "weight"}  # the third layer and the COLA head


def test_a_clip_keeps_its_length_up_to_thirty_seconds(encoder: WhisperEncoder) -> None:
    with torch.no_grad():
        assert encoder.trunk(torch.zeros(2, RATE_HZ)).shape == (2, 50, 512)
        assert encoder.trunk(torch.zeros(1, MAX_SAMPLES + 1)).shape == (1, 1500, 512)


def test_published_size_and_every_weight_is_trainable(folder: Path) -> None:
    encoder = load_whisper(folder).train()
    own = {name: value for name, value in encoder.named_parameters() if not name.startswith("similarity.")}
    key_biases = 6 * 512  # zeros here, left out of the published count; a softmax does not feel them
    assert sum(value.numel() for value in own.values()) + encoder.positions.numel() - key_biases == 20_590_592
    waveform = torch.randn(2, RATE_HZ, generator=torch.Generator().manual_seed(0)) * 0.1
    embedding = encoder.embed(waveform)
    assert embedding.shape == (2, encoder.dim)
    embedding.square().sum().backward()
    assert all(value.grad is not None and bool(value.grad.abs().sum() > 0) for value in own.values())


def test_a_frozen_trunk_leaves_the_last_two_layers(folder: Path) -> None:
    encoder = load_whisper(folder)
    encoder.freeze_trunk()
    trained = {".".join(name.split(".")[:2]) for name, p in encoder.named_parameters() if p.requires_grad}
    assert {name for name in trained if not name.startswith("similarity")} == {
        "layers.4",
        "layers.5",
        "norm.weight",
        "norm.bias",
    }


def test_saved_weights_fit_the_empty_encoder(encoder: WhisperEncoder) -> None:
    rebuilt = empty("whisper-base", AudioContract())
    rebuilt.load_state_dict(encoder.state_dict())
    waveform = torch.randn(1, RATE_HZ, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        assert torch.equal(rebuilt.eval().embed(waveform), encoder.embed(waveform))


def test_ssl_loss_is_chance_for_equal_clips(encoder: WhisperEncoder) -> None:
    loss = encoder.ssl_loss(*encoder.ssl_views(None, torch.ones(6, 20, 512)))
    assert float(loss.detach()) == pytest.approx(np.log(6), abs=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"WhisperSpec\0", b"WhisperSpam\0", "is a WhisperSpam, not a WhisperSpec"),
        (
            b"encoder/layer_3/ffn/linear_0/bias",
            b"encoder/layer_7/ffn/linear_0/bias",
            r"layers\.7\.widen\.bias",
        ),
    ],
)
def test_another_model_is_refused(folder: Path, tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    shutil.copyfile(folder / MODEL_FILE, tmp_path / MODEL_FILE)
    with (tmp_path / MODEL_FILE).open("r+b") as stream:
        start = stream.read().index(old)
        stream.seek(start)
        stream.write(new)
    with pytest.raises(ArtifactError, match=message):
        load_whisper(tmp_path)
