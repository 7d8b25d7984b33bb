"""The torch port of the openWakeWord embedding against the original ONNX files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.encoders.openwakeword import EMBEDDING_FILE, MELSPECTROGRAM_FILE, load_openwakeword
from acula_edge.encoders.registry import pretrained
from acula_edge.errors import ArtifactError, UsageError

MAX_MEL_ERROR = 1e-3  # of values from -6 to 12
MAX_EMBEDDING_ERROR = 1e-3  # of values up to 60


@pytest.fixture(scope="module")
def folder(weights_home: Path) -> Path:
    return weights_home / "openwakeword"


def _original(folder: Path, waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mel frames and embeddings as openWakeWord computes them: windows of 76 frames, every 8."""
    mel_model = onnxruntime.InferenceSession(str(folder / MELSPECTROGRAM_FILE))
    mel = mel_model.run(None, {"input": waveform[None] * 32768})[0].squeeze() / 10 + 2
    windows = np.stack([mel[start : start + 76] for start in range(0, len(mel) - 75, 8)])[..., None]
    embedding_model = onnxruntime.InferenceSession(str(folder / EMBEDDING_FILE))
    return mel, embedding_model.run(None, {"input_1": windows.astype(np.float32)})[0].squeeze()


def test_port_equals_the_original_on_real_clips(folder: Path, mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    encoder = load_openwakeword(folder)
    sources = {recording.dataset: recording for recording in dataset.of(Split.TRAIN)}
    for recording in sources.values():
        waveform = dataset.waveform(recording, encoder.contract.sample_rate_hz)[:80000]
        waveform = np.round(waveform * 32768).astype(np.float32) / 32768
        mel, embeddings = _original(folder, waveform)
        with torch.no_grad():
            batch = torch.from_numpy(waveform)[None]
            assert np.abs(encoder.log_mel(batch)[0].numpy() - mel).max() < MAX_MEL_ERROR, recording.id
            frames = encoder.frames(batch)[0].numpy()
            pooled = encoder.embed(batch)[0].numpy()
        assert frames.shape == embeddings.shape
        assert np.abs(frames - embeddings).max() < MAX_EMBEDDING_ERROR, recording.id
        expected = np.concatenate([embeddings.mean(0), embeddings.std(0)])
        assert np.abs(pooled - expected).max() < MAX_EMBEDDING_ERROR


def test_published_size_and_every_weight_is_trainable(folder: Path) -> None:
    encoder = load_openwakeword(folder)
    own = [value for name, value in encoder.named_parameters() if not name.startswith("similarity.")]
    assert sum(value.numel() for value in own) == 328_152
    encoder.train()
    waveform = torch.randn(2, 32000, generator=torch.Generator().manual_seed(0)) * 0.1
    encoder.embed(waveform).square().sum().backward()
    assert all(value.grad is not None and bool(value.grad.abs().sum() > 0) for value in own)


def test_ssl_loss_is_chance_for_equal_clips_and_trains(folder: Path) -> None:
    encoder = load_openwakeword(folder)
    frames = torch.ones(6, 20, 96)
    assert float(encoder.ssl_loss(*encoder.ssl_views(None, frames)).detach()) == pytest.approx(
        np.log(6), abs=1e-5
    )


def test_files_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(folder / MELSPECTROGRAM_FILE, tmp_path / EMBEDDING_FILE)
    shutil.copyfile(folder / MELSPECTROGRAM_FILE, tmp_path / MELSPECTROGRAM_FILE)
    with pytest.raises(ArtifactError, match=r"2 convolutions.*add the weights again"):
        load_openwakeword(tmp_path)


def test_unknown_encoder_names_the_known_ones(mini_dataset: Artifact) -> None:
    with pytest.raises(UsageError, match="openwakeword, whisper-base"):
        pretrained("whisper-huge", Dataset.open(mini_dataset).contract, seed=0)
