"""Hold-out: which recordings judge, and which are learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import DataError

_FEWEST_RECORDINGS = 4
_FEWEST_CLIPS = 8  # a rank correlation over fewer says nothing


def split_recordings(
    clips: Sequence[int], part: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the clips to learn from, and of those that judge: all clips of a recording go one way.

    `clips` counts each recording's. Raises DataError if there are too few to judge by.
    """
    order = np.random.default_rng(seed).permutation(len(clips))
    judges = order[: max(1, round(part * len(clips)))]
    owner = np.repeat(np.arange(len(clips)), clips)
    judging = np.isin(owner, judges)
    if len(clips) < _FEWEST_RECORDINGS or judging.sum() < _FEWEST_CLIPS:
        raise DataError(
            f"{len(clips)} recordings of {len(owner)} clips leave {int(judging.sum())} to judge by; at least "
            f"{_FEWEST_CLIPS} are needed, and {_FEWEST_RECORDINGS} recordings in all: give more recordings"
        )
    return np.flatnonzero(~judging), np.flatnonzero(judging)
