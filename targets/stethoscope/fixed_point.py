"""Fixed point: real factors as the integers that TFLite's reference kernels multiply and shift by.

Source: `QuantizeMultiplier` in kernels/internal/quantization_util.cc; the factors are those of the kernels'
Prepare in kernels/kernel_util.cc, add.cc and reduce.cc.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from targets.stethoscope.network import Grid, Scaling

ADD_LEFT_SHIFT = 20  # an INT8 addition works with 20 more bits (add.cc)
_LEAST_SHIFT, _MOST_SHIFT = -31, 30


def fixed_point(factor: float) -> tuple[int, int]:
    """A positive factor as multiplier * 2^(shift - 31) with 2^30 <= multiplier < 2^31; (0, 0) below 2^-32."""
    fraction, shift = math.frexp(factor)
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < _LEAST_SHIFT else (multiplier, min(shift, _MOST_SHIFT))


def scaling_of(factors: Iterable[float], clamp: tuple[int, int]) -> Scaling:
    """The scaling with these real factors."""
    pairs = np.array([fixed_point(factor) for factor in factors], dtype=np.int32)
    return Scaling(pairs[:, 0], pairs[:, 1], clamp)


def product_scaling(
    given: Grid, weight_scales: Iterable[float], made: Grid, clamp: tuple[int, int]
) -> Scaling:
    """Of a layer with weights: input scale * weight scale / output scale for each channel."""
    return scaling_of((given.scale * float(scale) / made.scale for scale in weight_scales), clamp)


def addition_scaling(first: Grid, second: Grid, made: Grid, clamp: tuple[int, int]) -> Scaling:
    """Of an addition: its two inputs, and its result."""
    twice = 2.0 * max(first.scale, second.scale)
    result = twice / (2.0**ADD_LEFT_SHIFT * made.scale)
    return scaling_of((first.scale / twice, second.scale / twice, result), clamp)


def mean_scaling(given: Grid, made: Grid) -> Scaling:
    """Of a mean; the kernel divides the factor by the count (reduce.cc, QuantizedMeanOrSum)."""
    return scaling_of([given.scale / made.scale], (-128, 127))
