"""Pairs, batches and crops, and that alignment learns what pairs say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.contract import AudioContract
from acula_edge.encoders.registry import pretrained
from acula_edge.teacher.align import AlignmentModel, Pairs, align, crop_of, source_batches
from acula_edge.teacher.config import TeacherConfig

RATE_HZ = 4000


def _pairs(n: int, seed: int) -> Pairs:
    """Tones whose pitch is told by the text: aligned by construction."""
    rng = np.random.default_rng(seed)
    pitch_hz = rng.uniform(100, 1500, size=n)
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    waves = 8000 * np.sin(2 * np.pi * pitch_hz[:, None] * time) + rng.normal(0, 300, size=(n, time.size))
    code = np.log(pitch_hz)
    texts = np.stack([np.cos(code * k) for k in range(1, 9)], axis=1).astype(np.float32)
    return Pairs(tuple(waves.astype(np.int16)), texts - texts.mean(0), ("a",) * n)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=200), st.integers(2, 60), st.integers(0, 99))
def test_batches_hold_each_recording_once_and_one_source(sources: list[str], size: int, seed: int) -> None:
    batches = source_batches(tuple(sources), size, np.random.default_rng(seed))
    drawn = np.concatenate(batches) if batches else np.empty(0, dtype=int)
    assert len(set(drawn.tolist())) == drawn.size
    missed = set(range(len(sources))) - set(drawn.tolist())
    assert all(sources.count(sources[index]) == 1 for index in missed)
    assert all(len({sources[index] for index in batch}) == 1 and batch.size > 1 for batch in batches)
    other = source_batches(tuple(sources), size, np.random.default_rng(seed + 1))
    assert len(other) == len(batches)


@given(st.integers(1, 300), st.integers(1, 200), st.integers(0, 99))
def test_crop_has_its_length_and_only_source_samples(n: int, samples: int, seed: int) -> None:
    waveform = np.arange(1, n + 1, dtype=np.int16)
    crop = crop_of(waveform, samples, np.random.default_rng(seed))
    assert crop.shape == (samples,)
    assert set(crop.tolist()) <= set(waveform.tolist())


def test_shuffling_keeps_reports_within_their_data_set() -> None:
    texts = np.arange(40, dtype=np.float32)[:, None]
    pairs = Pairs(tuple(np.zeros((40, 1), dtype=np.int16)), texts, ("a",) * 25 + ("b",) * 15)
    shuffled = pairs.shuffled(0)
    assert not np.array_equal(shuffled.texts, texts)
    assert sorted(shuffled.texts[:25, 0]) == list(range(25))
    assert sorted(shuffled.texts[25:, 0]) == list(range(25, 40))


def test_alignment_generalises_from_true_pairs_and_not_from_shuffled_ones(tmp_path: Path) -> None:
    config = TeacherConfig(encoder="small", epochs=8, batch_size=24, crop_seconds=1.0, ssl_weight=0.0)
    contract = AudioContract.make(
        normalisation={"mean": (-8.0,) * 48, "std": (4.0,) * 48}, clip_samples=2 * RATE_HZ
    )
    train, val = _pairs(96, 0), _pairs(48, 1)
    scores = {}
    for name, pairs in (("true", train), ("shuffled", train.shuffled(0))):
        torch.manual_seed(0)
        model = AlignmentModel(
            pretrained("small", contract, seed=0), texts_dim := train.texts.shape[1], config
        )
        assert texts_dim == 8
        history = align(model, pairs, val, config, tmp_path / f"{name}.safetensors", name)
        scores[name] = max(record.score for record in history)
    assert scores["true"] > scores["shuffled"] + 0.1
