"""Fixtures for the tests of views."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.data.spread import spread
from distill.augment_config import AugmentConfig
from distill.views import Views, make_views


class Make(Protocol):
    """`make_views` on the mini dataset and its teacher."""

    def __call__(self, recordings: Sequence[Recording], config: AugmentConfig, folder: Path) -> Views: ...


@pytest.fixture(scope="module")
def dataset(mini_dataset: Artifact) -> Dataset:
    return Dataset.open(mini_dataset)


@pytest.fixture(scope="module")
def some(dataset: Dataset) -> list[Recording]:
    """Training recordings of all data sets in turn, some longer than a clip."""
    return spread(dataset.of(Split.TRAIN), 80, seed=0)


@pytest.fixture(scope="module")
def make(dataset: Dataset, mini_teacher: Artifact) -> Make:
    return partial(make_views, dataset, mini_teacher, label="train")
