"""A small choice of recordings covers data sets and classes, and is the same each time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.data.spread import spread, spread_clips
from acula_edge.errors import DataError


def _recording(index: int, dataset: str, label: int) -> Recording:
    return Recording(
        id=f"{dataset}/{index}",
        path="",
        dataset=dataset,
        patient="",
        group=str(index),
        split=Split.TRAIN,
        sample_rate_hz=4000,
        start=0,
        n_samples=1,
        sha256="",
        labels={"task": label},
    )


recordings = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=40).map(
    lambda pairs: [_recording(index, dataset, label) for index, (dataset, label) in enumerate(pairs)]
)


@given(recordings, st.integers(1, 50), st.integers(0, 5))
def test_data_sets_and_classes_take_turns(given_: list[Recording], count: int, seed: int) -> None:
    chosen = spread(given_, count, seed)
    assert len(chosen) == min(count, len(given_))
    assert len({recording.id for recording in chosen}) == len(chosen)
    available = Counter(recording.dataset for recording in given_)
    taken = Counter(recording.dataset for recording in chosen)
    for one in available:
        for other in available:
            if taken[one] < available[one]:
                assert taken[other] <= taken[one] + 1
    for dataset in available:
        classes = Counter(r.labels["task"] for r in given_ if r.dataset == dataset)
        if taken[dataset] >= len(classes):
            assert {r.labels["task"] for r in chosen if r.dataset == dataset} == set(classes)


@given(recordings, st.integers(1, 50))
def test_the_seed_decides(given_: list[Recording], count: int) -> None:
    assert spread(given_, count, 3) == spread(given_, count, 3)


def test_another_seed_takes_other_recordings() -> None:
    many = [_recording(index, "a", index % 2) for index in range(100)]
    assert spread(many, 10, 0) != spread(many, 10, 1)


def test_clips_are_of_the_split_and_of_the_contract(mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    clips = spread_clips(dataset, Split.VAL, 12, 0)
    assert clips.pcm.shape == (12, dataset.contract.clip_samples)
    by_id = {recording.id: recording for recording in dataset.recordings}
    assert {by_id[name].split for name in clips.recordings} == {Split.VAL}
    for name, pcm in zip(clips.recordings, clips.pcm, strict=True):
        assert any((clip == pcm).all() for clip in dataset.clips(by_id[name]))


def test_an_empty_split_is_an_error(mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    empty = Dataset(dataset.root, dataset.contract, dataset.tasks, (), dataset.simulated)
    with pytest.raises(DataError, match="the val split holds no recording"):
        spread_clips(empty, Split.VAL, 4, 0)
