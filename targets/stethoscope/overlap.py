"""Overlap: how far the result of a layer may lie over its own input.

A layer that walks over its output pixels in order has done with the first bytes of its input when it writes
the first ones of its output, so that the two may share memory if the output lies far enough below; walking
backwards, far enough above. (Diagonal memory optimisation: Blacker, Simpson, Renouard and others, "Diagonal
Memory Optimisation for Machine Learning on Micro-controllers", arXiv 2010.01668.) The distances hold for
the kernels in `c/acula_convolution.c`, which read all of a block of pixels before the next block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.stethoscope.network import Addition, Convolution, Depthwise, Layer, Window

# Output pixels that a convolution works on at once: at most, and where their patches are gathered.
_BLOCK, PATCHES_BYTES = 8, 128  # the latter of acula_kernels.h

_WORD = 4

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Overlap:
    """Least distances in bytes from the start of the source to that of the result.

    Upwards (`below`): the result starts so much lower, and the layer runs from the first pixel to the last.
    Downwards (`above`): it starts so much higher, and the layer runs from the last pixel to the first.
    """

    below: int
    above: int


def overlap_of(layer: Layer) -> Overlap:
    """The overlap that `layer` allows between its source and its result."""
    if isinstance(layer, Addition):  # number by number, from the first to the last
        return Overlap(0, layer.source.size_bytes)
    if isinstance(layer, Convolution | Depthwise):
        return _windowed(layer)
    return Overlap(layer.result.size_bytes, layer.source.size_bytes)


def block_of(layer: Convolution | Depthwise) -> int:
    """Output pixels that a kernel reads before it writes any of them; 0 if a patch is too large for it."""
    if isinstance(layer, Depthwise):
        return 1
    return _BLOCK if direct(layer) else min(_BLOCK, PATCHES_BYTES // row_bytes(layer))


def direct(layer: Convolution) -> bool:
    """Whether a pixel of the source is the patch itself: the kernel is a pixel, and whole words."""
    return pointwise(layer.window) and row_bytes(layer) == layer.weights[0].size


def row_bytes(layer: Convolution) -> int:
    """Of one output channel's weights, with the lines of the kernel filled up to whole words."""
    height, width, channels = map(int, layer.weights.shape[1:])
    return height * whole_words(width * channels)


def whole_words(size_bytes: int) -> int:
    """Bytes of the words that hold so many."""
    return -(-size_bytes // _WORD) * _WORD


def pointwise(window: Window) -> bool:
    """Whether each pixel of the result comes from that one pixel of the source."""
    return (window.kernel, window.stride, window.before) == ((1, 1), (1, 1), (0, 0))


def _windowed(layer: Convolution | Depthwise) -> Overlap:
    height, width, channels = layer.result.shape
    first_row, last_row = _reach(layer, 0, height)
    first_column, last_column = _reach(layer, 1, width)
    _, given_width, given_channels = layer.source.shape
    first = (first_row[:, None] * given_width + first_column).ravel() * given_channels
    last = (last_row[:, None] * given_width + last_column + 1).ravel() * given_channels
    block = max(1, block_of(layer))
    starts = np.arange(0, height * width, block)
    ends = np.minimum(starts + block, height * width)
    first, last = np.minimum.reduceat(first, starts), np.maximum.reduceat(last, starts)
    still_read_from = np.minimum.accumulate(first[::-1])[::-1]
    still_read_to = np.maximum.accumulate(last)
    return Overlap(
        below=int((ends * channels - still_read_from).max()),
        above=int((still_read_to - starts * channels).max()),
    )


def _reach(layer: Convolution | Depthwise, axis: int, size: int) -> tuple[Ints, Ints]:
    """First and last input place along an axis for each output place, those on padding left out."""
    window, most = layer.window, layer.source.shape[axis] - 1
    start = np.arange(size) * window.stride[axis] - window.before[axis]
    return np.clip(start, 0, most), np.clip(start + window.kernel[axis] - 1, 0, most)
