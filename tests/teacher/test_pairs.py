"""Batches of one source, crops of one length, wordings and gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.teacher.pairs import Pairs, crop_of, source_batches
from tests.teacher.tiny import RATE_HZ, tone_pairs

ALL = np.arange(6)


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


@given(st.integers(1, 300), st.integers(1, 200), st.integers(0, 99), st.sampled_from([(), (3,), (2, 2)]))
def test_crop_is_a_stretch_of_the_repeated_recording(
    n: int, length: int, seed: int, rest: tuple[int, ...]
) -> None:
    recording = np.arange(1, n + 1).reshape(n, *(1 for _ in rest)) * np.ones(rest)
    crop = crop_of(recording, length, np.random.default_rng(seed))
    assert crop.shape == (length, *rest)
    first = int(crop.reshape(length, -1)[0, 0]) - 1
    assert np.array_equal(crop, recording[(first + np.arange(length)) % n])


def test_waveform_gets_a_gain_within_six_decibel_and_stays_in_range() -> None:
    loud = np.full(RATE_HZ, 30000, dtype=np.int16)
    pairs = replace(tone_pairs(200, 0), inputs=(loud // 10,) * 200)
    gains = pairs.batch(np.arange(200), 0.1, np.random.default_rng(0)).inputs[:, 0] * 32768 / 3000
    decibel = 20 * torch.log10(gains)
    assert -6 <= decibel.min() < -5.5
    assert 5.5 < decibel.max() <= 6
    clipped = replace(pairs, inputs=(loud,) * 200).batch(np.arange(200), 0.1, np.random.default_rng(0)).inputs
    assert clipped.max() == 1.0


def test_cached_features_are_cropped_by_their_own_rate_and_keep_their_scale() -> None:
    features = tuple(np.arange(100, dtype=np.float16)[:, None, None] * np.ones((1, 2, 3)) for _ in ALL)
    cached = tuple(part.astype(np.float16) for part in features)
    pairs = replace(tone_pairs(6, 0), inputs=cached, rate_hz=25.3)
    batch = pairs.batch(ALL, 2.0, np.random.default_rng(0))
    assert batch.cached
    assert batch.inputs.shape == (6, 51, 2, 3)
    assert batch.inputs.dtype == torch.float32
    steps = batch.inputs[:, 1:] - batch.inputs[:, :-1]
    assert torch.equal(steps, torch.ones_like(steps))
    assert len({float(start) for start in batch.inputs[:, 0, 0, 0]}) > 1


def test_each_draw_takes_any_wording_of_its_own_recording() -> None:
    pairs = replace(tone_pairs(6, 0), texts=np.arange(6 * 4, dtype=np.float32).reshape(6, 4, 1))
    rng = np.random.default_rng(0)
    drawn = np.stack([pairs.batch(ALL, 0.1, rng).texts[:, 0].numpy() for _ in range(50)])
    for row in range(6):
        assert set(drawn[:, row]) == {row * 4.0 + form for form in range(4)}


def test_rows_and_parts_keep_their_recordings_together() -> None:
    pairs = tone_pairs(6, 0, unpaired=2)
    part = pairs.part(slice(3, None))
    assert len(part.inputs) == len(part.sources) == 3
    assert part.paired.tolist() == [True, False, False]
    assert part.rate_hz == pairs.rate_hz
    batch = pairs.batch(ALL, 0.5, np.random.default_rng(0))
    rows = batch.rows(slice(2, 5))
    assert len(batch) == 6
    assert len(rows) == 3
    for whole, some in (
        (batch.inputs, rows.inputs),
        (batch.texts, rows.texts),
        (batch.paired, rows.paired),
    ):
        assert torch.equal(whole[2:5], some)


@pytest.mark.parametrize("dtype", [np.int16, np.float16])
def test_only_int16_is_a_waveform(dtype: type) -> None:
    pairs: Pairs = replace(tone_pairs(2, 0), inputs=(np.zeros(9, dtype), np.zeros(9, dtype)))
    assert pairs.cached is (dtype is np.float16)
