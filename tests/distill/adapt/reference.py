"""TFLite's reference kernels for the layers of a head, in integers only, as a firmware would write them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distill.adapt.layer import Kind, Layer

Ints = NDArray[np.int64]
_LEFT_SHIFT = 20


def run_layer(layer: Layer, given: NDArray[np.int8]) -> NDArray[np.int8]:
    """int8 input (1, h, w, C) or (1, C) -> int8 output, stride 1 and SAME padding."""
    steps = {
        Kind.CONVOLUTION: _pointwise,
        Kind.DEPTHWISE: _depthwise,
        Kind.FULLY_CONNECTED: _product,
        Kind.ADD: _add,
    }[layer.site.kind](layer, given.astype(np.int64))
    low, high = layer.site.clamp
    return np.clip(steps + layer.site.output.zero_point, low, high).astype(np.int8)


def _pointwise(layer: Layer, given: Ints) -> Ints:
    weights = layer.weights[:, 0, 0, :].astype(np.int64)
    return _scaled(layer, (given - layer.site.input.zero_point) @ weights.T)


def _product(layer: Layer, given: Ints) -> Ints:
    total = (given - layer.site.input.zero_point) @ layer.weights.astype(np.int64).T
    if layer.biases.size:
        total = total + layer.biases
    return _rounded_once(total, layer.multipliers.astype(np.int64), layer.shifts.astype(np.int64))


def _depthwise(layer: Layer, given: Ints) -> Ints:
    _, kernel, _, _ = layer.weights.shape
    past = kernel // 2
    padded = np.pad(given - layer.site.input.zero_point, ((0, 0), (past, past), (past, past), (0, 0)))
    total = np.zeros(given.shape, dtype=np.int64)
    for row in range(kernel):
        for column in range(kernel):
            part = padded[:, row : row + given.shape[1], column : column + given.shape[2]]
            total += part * layer.weights[0, row, column].astype(np.int64)
    return _scaled(layer, total)


def _scaled(layer: Layer, total: Ints) -> Ints:
    if layer.biases.size:
        total = total + layer.biases
    return _by_fixed_point(total, layer.multipliers.astype(np.int64), layer.shifts.astype(np.int64))


def _add(layer: Layer, given: Ints) -> Ints:
    constant = layer.weights.astype(np.int64) - layer.weight_zero_point
    sides = (given - layer.site.input.zero_point, constant)
    raw = sum(
        _by_fixed_point(side << _LEFT_SHIFT, np.int64(layer.multipliers[i]), np.int64(layer.shifts[i]))
        for i, side in enumerate(sides)
    )
    return _by_fixed_point(np.asarray(raw), np.int64(layer.multipliers[2]), np.int64(layer.shifts[2]))


def _rounded_once(x: Ints, multiplier: Ints, shift: Ints) -> Ints:
    """What the fully connected kernel of the LiteRT runtime does, unlike all others: one rounding."""
    right = 31 - shift
    return np.asarray((x * multiplier + (np.int64(1) << (right - 1))) >> right, dtype=np.int64)


def _by_fixed_point(x: Ints, multiplier: Ints | np.int64, shift: Ints | np.int64) -> Ints:
    """gemmlowp's two roundings: a doubling high product, then a rounding right shift."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    product = (x << left) * multiplier
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.sign(nudged) * (np.abs(nudged) >> 31)  # towards zero, and exact: a float holds 53 bits only
    mask = (np.int64(1) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return np.asarray((high >> right) + ((high & mask) > threshold), dtype=np.int64)
