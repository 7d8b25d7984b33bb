"""Clip windows: every property that the docstring states."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.data.clips import cut_clips


@given(n=st.integers(1, 400), clip=st.integers(1, 90))
def test_windows(n: int, clip: int) -> None:
    samples = np.arange(n, dtype=np.int16)
    clips = cut_clips(samples, clip)
    whole, rest = divmod(n, clip)
    assert clips.dtype == samples.dtype
    if whole == 0:
        assert np.array_equal(clips, [[i % n for i in range(clip)]])
        return
    assert clips.shape == (whole + (2 * rest >= clip), clip)
    assert np.array_equal(clips[:whole].ravel(), samples[: whole * clip])
    if len(clips) > whole:
        assert np.array_equal(clips[-1], samples[-clip:])


def test_half_a_clip_counts_and_less_does_not() -> None:
    assert len(cut_clips(np.zeros(15, np.int16), 10)) == 2
    assert len(cut_clips(np.zeros(14, np.int16), 10)) == 1
    assert len(cut_clips(np.zeros(5, np.int16), 10)) == 1
