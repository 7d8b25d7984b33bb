"""Clips: from a recording of any length to the fixed windows that a model sees."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Sample = TypeVar("Sample", bound=np.generic)


def cut_clips(samples: NDArray[Sample], clip_samples: int) -> NDArray[Sample]:
    """Cut (n,) samples, n >= 1, into (k, clip_samples) windows, k >= 1.

    Windows follow each other. A remainder of at least half a clip gives one more window, aligned to
    the end; a shorter one is dropped. A recording shorter than a clip is repeated to fill it.
    """
    n = samples.size
    if n < clip_samples:
        return np.resize(samples, (1, clip_samples))
    return np.stack([samples[start : start + clip_samples] for start in clip_starts(n, clip_samples)])


def clip_starts(n: int, clip_samples: int) -> list[int]:
    """Where the windows of a recording of n samples start."""
    if n < clip_samples:
        return [0]
    starts = list(range(0, n - clip_samples + 1, clip_samples))
    if 2 * (n % clip_samples) >= clip_samples:
        starts.append(n - clip_samples)
    return starts
