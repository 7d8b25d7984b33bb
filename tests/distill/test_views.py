"""Views: the clips' own features, and the teacher's answers to the same sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.frontend import log_mel
from distill.augment_config import AugmentConfig
from distill.views import make_views

PLAIN = AugmentConfig(views=1)


@pytest.fixture(scope="module")
def dataset(mini_dataset: Artifact) -> Dataset:
    return Dataset.open(mini_dataset)


@pytest.fixture(scope="module")
def some(dataset: Dataset) -> list[Recording]:
    """Recordings of all data sets, some longer than a clip: three shards."""
    return dataset.of(Split.TRAIN)[:80]


def test_the_view_as_recorded_is_the_clip_and_the_artifacts_targets(
    dataset: Dataset, mini_teacher: Artifact, some: list[Recording], tmp_path: Path
) -> None:
    views = make_views(dataset, mini_teacher, some, PLAIN, tmp_path, "train")
    targets = load_file(mini_teacher.file("targets.safetensors"))
    clips = [dataset.clips(item) for item in some]
    assert len(views) == sum(map(len, clips))
    expected = log_mel(np.concatenate(clips), dataset.contract)
    assert views.features.dtype == np.float16
    assert np.abs(views.features - expected).max() <= np.abs(expected).max() * 2**-11
    for field in ("embedding", "logits", "aligned"):
        stored = np.concatenate([targets[f"{field}.{item.id}"] for item in some])
        assert np.array_equal(getattr(views, field), stored)
    assert isinstance(views.features, np.memmap)


def test_rows_are_named_and_labelled(
    dataset: Dataset, mini_teacher: Artifact, some: list[Recording], tmp_path: Path
) -> None:
    views = make_views(dataset, mini_teacher, some, PLAIN, tmp_path, "train")
    counts = [len(dataset.clips(item)) for item in some]
    assert max(counts) > 1
    assert np.array_equal(views.owner, np.repeat(np.arange(len(some)), counts))
    assert np.array_equal(views.clip, np.arange(sum(counts)))
    assert not views.view.any()
    for row, owner in enumerate(views.owner):
        expected = [some[owner].labels.get(task.name, -1) for task in dataset.tasks]
        assert views.labels[row].tolist() == expected
