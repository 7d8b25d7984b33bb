"""Spread: a small seeded choice of recordings that covers every data set and class."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.errors import DataError


@dataclass(frozen=True)
class Clips:
    """One clip of each of n recordings: int16 (n, clip_samples), and the recordings' ids."""

    pcm: NDArray[np.int16]
    recordings: tuple[str, ...]


def spread_clips(dataset: Dataset, split: Split, count: int, seed: int) -> Clips:
    """One clip of each of `count` recordings of a split, or of all if it holds fewer.

    Data sets take turns, and within a data set its classes, so that a small class or data set is
    present; the seed decides the order inside a class and which clip of a recording is taken. Raises
    DataError if the split is empty.
    """
    chosen = spread(dataset.of(split), count, seed)
    if not chosen:
        raise DataError(f"the {split} split holds no recording to choose clips from; add recordings")
    rng = random.Random(seed)
    pcm = [rng.choice(list(dataset.clips(recording))) for recording in chosen]
    return Clips(np.stack(pcm), tuple(recording.id for recording in chosen))


def spread(recordings: list[Recording], count: int, seed: int) -> list[Recording]:
    """At most `count` recordings, data sets and within them classes taking turns."""
    rng = random.Random(seed)
    classes: dict[str, dict[tuple[tuple[str, int], ...], list[Recording]]] = defaultdict(dict)
    for recording in rng.sample(recordings, len(recordings)):
        labels = tuple(sorted(recording.labels.items()))
        classes[recording.dataset].setdefault(labels, []).append(recording)
    by_dataset = [
        _take_turns([classes[name][labels] for labels in sorted(classes[name])]) for name in sorted(classes)
    ]
    return _take_turns(by_dataset)[:count]


def _take_turns(queues: list[list[Recording]]) -> list[Recording]:
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
