"""The from-scratch encoder, for machines without weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.encoders.registry import pretrained
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.pairs import Pairs
from acula_edge.teacher.pretrain import pretrain


def _pairs(dataset: Dataset, split: Split, n: int) -> Pairs:
    rows = dataset.of(split)[:n]
    waves = tuple(dataset.clips(item)[0] for item in rows)
    texts, paired = np.zeros((len(rows), 1, 1), dtype=np.float32), np.ones(len(rows), dtype=bool)
    rate_hz = float(dataset.contract.sample_rate_hz)
    return Pairs(waves, texts, paired, tuple(item.dataset for item in rows), rate_hz)


def test_pretraining_tells_recordings_of_unseen_patients_apart(
    mini_dataset: Artifact, tmp_path: Path
) -> None:
    dataset = Dataset.open(mini_dataset)
    train, val = _pairs(dataset, Split.TRAIN, 64), _pairs(dataset, Split.VAL, 16)
    encoder = pretrained("small", dataset.contract, seed=0)
    config = TeacherConfig(encoder="small", pretrain_epochs=6, batch_size=16)
    audio = torch.from_numpy(np.stack(val.inputs).astype(np.float32) / 32768)

    def loss() -> float:
        encoder.eval()
        with torch.no_grad():
            return float(encoder.ssl_loss(*encoder.ssl_views(audio, encoder.frames(audio))))

    before = loss()
    pretrain(encoder, train, val, config, tmp_path)
    assert loss() < before - 0.2


def test_embedding_is_mean_and_deviation_of_the_frames(mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    encoder = pretrained("small", dataset.contract, seed=0).eval()
    audio = torch.from_numpy(dataset.clips(dataset.of(Split.TRAIN)[0]).astype(np.float32) / 32768)
    with torch.no_grad():
        frames, embedding = encoder.frames(audio).numpy(), encoder.embed(audio).numpy()
    expected = np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1)
    assert embedding.shape == (len(audio), encoder.dim)
    assert np.abs(embedding - expected).max() < 1e-5


def test_same_seed_gives_the_same_encoder(mini_dataset: Artifact) -> None:
    contract = Dataset.open(mini_dataset).contract
    states = [pretrained("small", contract, seed).state_dict() for seed in (0, 0, 1)]
    name = "layers.0.weight"
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])
