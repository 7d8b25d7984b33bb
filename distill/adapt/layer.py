"""Layer: one quantised layer of a head, as a .tflite and the firmware hold it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """The operator; the numbers are those of head.bin."""

    CONVOLUTION = 1
    DEPTHWISE = 2
    FULLY_CONNECTED = 3
    ADD = 4


# Where the output channel stands in the weights' shape; an addition has one scale for all.
CHANNEL_AXIS: dict[Kind, int | None] = {
    Kind.CONVOLUTION: 0,
    Kind.DEPTHWISE: 3,
    Kind.FULLY_CONNECTED: 0,
    Kind.ADD: None,
}
# Dimensions of the weights' shape.
RANK: dict[Kind, int] = {Kind.CONVOLUTION: 4, Kind.DEPTHWISE: 4, Kind.FULLY_CONNECTED: 2, Kind.ADD: 1}


@dataclass(frozen=True)
class FloatLayer:
    """Weights of one layer in the layout of a .tflite, float32, and its bias (none: empty).

    Convolutions (out, h, w, in), depthwise ones (1, h, w, channels), fully connected ones (out, in); an
    addition holds its constant (n,) as weights.
    """

    kind: Kind
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """INT8 steps of a tensor: real = scale * (q - zero_point); the scale is a float32's value."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Site:
    """Where a layer stands: its operator, the weights' shape, the grids around it and its clamp in steps."""

    kind: Kind
    shape: tuple[int, ...]
    input: Grid
    output: Grid
    clamp: tuple[int, int]

    @property
    def channels(self) -> int:
        """Scales that the weights have."""
        axis = CHANNEL_AXIS[self.kind]
        return 1 if axis is None else self.shape[axis]


@dataclass(frozen=True)
class Layer:
    """A site filled with numbers.

    `weights` int8 of the site's shape; real = scale of the channel * (q - weight_zero_point), which is 0
    except for an addition. `biases` int32 (channels,) in steps of input scale * weight scale, and
    `float_biases` (channels,) float32, what they round; both are empty for a layer without.
    `multipliers` int32 and `shifts` int32 as TFLite's reference kernels use them, real factor = multiplier *
    2^(shift - 31): input scale * weight scale / output scale (channels,), or for an addition those of its
    input, its constant and its output (3,).
    """

    site: Site
    weights: NDArray[np.int8]
    weight_zero_point: int
    weight_scales: NDArray[np.float32]
    biases: NDArray[np.int32]
    float_biases: NDArray[np.float32]
    multipliers: NDArray[np.int32]
    shifts: NDArray[np.int32]
