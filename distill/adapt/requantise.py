"""Requantise: float layers become INT8 ones on the activation grids that a model has already.

Weights are symmetric per output channel (max |w| = 127 steps); the constant of an addition is asymmetric
over its range with 0 in it; biases are int32 in steps of input scale * weight scale. All in float32, as the
quantizer that made the .tflite computes. Multipliers and shifts: TFLite, `QuantizeMultiplier` in
kernels/internal/quantization_util.cc and the reference kernels' Prepare (kernels/kernel_util.cc, add.cc).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError
from distill.adapt.layer import CHANNEL_AXIS, FloatLayer, Kind, Layer, Site

Floats = NDArray[np.float32]

ADD_LEFT_SHIFT = 20  # an INT8 addition works with 20 more bits (add.cc)
_SMALLEST = np.float32(1e-9)  # a channel of zeros still has a scale
_INT32 = 2**31 - 1


def requantise(layer: FloatLayer, site: Site) -> Layer:
    """The layer in INT8 at `site`. Raises ArtifactError if it has another shape, or is not finite."""
    if (layer.kind, layer.weights.shape) != (site.kind, site.shape):
        raise ArtifactError(
            f"the model's {site.kind.name.lower()} of shape {site.shape} is not the student's "
            f"{layer.kind.name.lower()} of shape {layer.weights.shape}; build the bundle again"
        )
    if not (np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all()):
        raise ArtifactError(f"the {layer.kind.name.lower()} holds weights that are NaN or infinite")
    if layer.kind is Kind.ADD:
        weights, scales, zero_point = _asymmetric(layer.weights)
    else:
        weights, scales = _symmetric(layer.weights, CHANNEL_AXIS[layer.kind] or 0)
        zero_point = 0
    return on_site(weights, zero_point, scales, layer.bias, site)


def moved(layer: Layer, site: Site) -> Layer:
    """The same layer at the like site of another graph, whose activations have other grids."""
    own = replace(layer.site, input=site.input, output=site.output, clamp=site.clamp)
    if own != site:
        raise ArtifactError(f"{site} can not hold {layer.site}: another kind or shape")
    return on_site(layer.weights, layer.weight_zero_point, layer.weight_scales, layer.float_biases, site)


def on_site(
    weights: NDArray[np.int8], zero_point: int, scales: Floats, float_biases: Floats, site: Site
) -> Layer:
    """A layer whose biases, multipliers and shifts follow from `scales` and the site's grids."""
    steps = (np.float32(site.input.scale) * scales).astype(np.float32)
    biases = np.clip(np.rint(float_biases / steps), -_INT32, _INT32) if float_biases.size else float_biases
    factors = _add_factors(site, scales) if site.kind is Kind.ADD else _factors(site, scales)
    pairs = [fixed_point(factor) for factor in factors]
    return Layer(
        site=site,
        weights=weights,
        weight_zero_point=zero_point,
        weight_scales=scales,
        biases=biases.astype(np.int32),
        float_biases=float_biases,
        multipliers=np.array([multiplier for multiplier, _ in pairs], dtype=np.int32),
        shifts=np.array([shift for _, shift in pairs], dtype=np.int32),
    )


def fixed_point(factor: float) -> tuple[int, int]:
    """A positive factor as (multiplier, shift): multiplier * 2^(shift - 31), 2^30 <= multiplier < 2^31.

    A factor below 2^-32 becomes (0, 0), as in TFLite.
    """
    fraction, shift = math.frexp(factor)
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def _factors(site: Site, scales: Floats) -> list[float]:
    return [site.input.scale * float(scale) / site.output.scale for scale in scales]


def _add_factors(site: Site, scales: Floats) -> list[float]:
    constant = float(scales[0])
    twice = 2.0 * max(site.input.scale, constant)
    return [site.input.scale / twice, constant / twice, twice / (2.0**ADD_LEFT_SHIFT * site.output.scale)]


def _symmetric(weights: Floats, axis: int) -> tuple[NDArray[np.int8], Floats]:
    others = tuple(other for other in range(weights.ndim) if other != axis)
    bound = np.maximum(np.abs(weights).max(axis=others, keepdims=True), _SMALLEST)
    scales = (bound / np.float32(127)).astype(np.float32)
    quantised = np.clip(np.rint(weights / scales), -127, 127).astype(np.int8)
    return quantised, scales.reshape(-1)


def _asymmetric(values: Floats) -> tuple[NDArray[np.int8], Floats, int]:
    low, high = np.minimum(values.min(), np.float32(0)), np.maximum(values.max(), np.float32(0))
    scale = np.float32(np.maximum(high - low, _SMALLEST) / np.float32(255))
    zero_point = int(np.rint(np.float32(-128) - low / scale))
    quantised = np.clip(np.rint(values / scale + np.float32(zero_point)), -128, 127).astype(np.int8)
    return quantised, np.array([scale], dtype=np.float32), zero_point
