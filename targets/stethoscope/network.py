"""Network: the INT8 layers of a student as the C code runs them, with integer numbers only.

A map is (height, width, channels): mel bands, frames, channels. Reshapes, paddings and the float border of
the .tflite are gone: paddings stand in the convolutions. Factors are multiplier * 2^(shift - 31).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Map = tuple[int, int, int]


@dataclass(frozen=True)
class Grid:
    """INT8 steps of a value: real = scale * (q - zero_point); the scale is a float32's value."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Value:
    """An INT8 tensor between layers; a vector is (1, 1, n)."""

    name: str
    shape: Map
    grid: Grid

    @property
    def size_bytes(self) -> int:
        """A byte for each number."""
        return prod(self.shape)


@dataclass(frozen=True)
class Scaling:
    """From int32 sums to INT8: per channel a multiplier and a shift (negative: to the right), then the clamp.

    `multipliers` and `shifts` int32 (channels,).
    """

    multipliers: NDArray[np.int32]
    shifts: NDArray[np.int32]
    clamp: tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Kernel, strides, and zeros before the first row and column (those behind follow from the shapes)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """`weights` int8 (out, h, w, in), `biases` int32 (out,) without the input's zero point."""

    name: str
    source: Value
    result: Value
    window: Window
    weights: NDArray[np.int8]
    biases: NDArray[np.int32]
    scaling: Scaling

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those on padding counted too."""
        return self.weights.size * self.result.shape[0] * self.result.shape[1]


@dataclass(frozen=True)
class Depthwise:
    """`weights` int8 (h, w, channels), `biases` int32 (channels,) without the input's zero point."""

    name: str
    source: Value
    result: Value
    window: Window
    weights: NDArray[np.int8]
    biases: NDArray[np.int32]
    scaling: Scaling

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those on padding counted too."""
        return self.weights.size * self.result.shape[0] * self.result.shape[1]


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: `weights` int8 (out, in), `biases` int32 (out,)."""

    name: str
    source: Value
    result: Value
    weights: NDArray[np.int8]
    biases: NDArray[np.int32]
    scaling: Scaling

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.weights.size


@dataclass(frozen=True)
class Mean:
    """The mean over height and width; one factor for all channels, still to be divided by the count."""

    name: str
    source: Value
    result: Value
    scaling: Scaling

    @property
    def macs(self) -> int:
        """None: it only adds."""
        return 0


@dataclass(frozen=True)
class Addition:
    """Two values of one shape, or a value and a constant: `other` is a Value, or int8 of the shape's size.

    `scaling` holds three factors: of the first, of the second, and of the result; `other_zero_point` is that
    of a constant or of the value.
    """

    name: str
    source: Value
    other: Value | NDArray[np.int8]
    other_zero_point: int
    result: Value
    scaling: Scaling

    @property
    def macs(self) -> int:
        """None: it only adds."""
        return 0


Layer = Convolution | Depthwise | Dense | Mean | Addition


@dataclass(frozen=True)
class Network:
    """Layers in the order in which they run, from `features` to `embedding` and `logits`."""

    layers: tuple[Layer, ...]
    features: Value
    embedding: Value
    logits: Value

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a clip."""
        return sum(layer.macs for layer in self.layers)


def sources(layer: Layer) -> tuple[Value, ...]:
    """The values that a layer reads."""
    if isinstance(layer, Addition) and isinstance(layer.other, Value):
        return layer.source, layer.other
    return (layer.source,)
