"""Lowering: the operators of an INT8 .tflite become a Network; what it does not know is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError
from targets.stethoscope.fixed_point import addition_scaling, mean_scaling, product_scaling
from targets.stethoscope.flatbuffer import ABSENT, RawGraph, RawOperator, RawTensor, read_graph
from targets.stethoscope.network import (
    Addition,
    Convolution,
    Dense,
    Depthwise,
    Grid,
    Layer,
    Map,
    Mean,
    Network,
    Value,
    Window,
)

_QMIN, _QMAX = -128, 127
_SAME = 0  # the schema's Padding.SAME
# The schema's ActivationFunctionType: the range of real numbers that it lets through.
_ACTIVATIONS: dict[int, tuple[float, float]] = {
    0: (-np.inf, np.inf),
    1: (0.0, np.inf),
    3: (0.0, 6.0),
}


@dataclass(frozen=True)
class _Padded:
    """A value, and the zeros that stand before and behind its rows and columns."""

    value: Value
    before: tuple[int, int] = (0, 0)
    behind: tuple[int, int] = (0, 0)


def read_network(path: Path) -> Network:
    """The network of a .tflite that takes features.

    Raises ArtifactError, naming the operator, for one that the C code can not run as the .tflite does.
    """
    return _Lowering(read_graph(path), path.name).network()


class _Lowering:
    """Walks the operators; `_known` holds what each tensor has become."""

    def __init__(self, graph: RawGraph, file: str) -> None:
        self._graph, self._file = graph, file
        self._known: dict[int, _Padded] = {}
        self._layers: list[Layer] = []
        self._operator = RawOperator("", (), (), {})
        self._channels_last = False  # the features stand as (1, 1, mels, frames) until they are reshaped
        self._rules: dict[str, Callable[[], None]] = {
            "QUANTIZE": self._quantize,
            "DEQUANTIZE": self._pass_on,
            "RESHAPE": self._reshape,
            "PAD": self._pad,
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "FULLY_CONNECTED": self._dense,
            "MEAN": self._mean,
            "ADD": self._add,
        }

    def network(self) -> Network:
        self._require_rules()
        for operator in self._graph.operators:
            self._operator = operator
            self._rules[operator.name]()
        outputs = {name: self._known[index].value for name, index in self._graph.outputs.items()}
        first = next(iter(self._known.values())).value
        return Network(tuple(self._layers), first, outputs["embedding"], outputs["logits"])

    def _require_rules(self) -> None:
        unknown = sorted({operator.name for operator in self._graph.operators} - self._rules.keys())
        if unknown:
            raise ArtifactError(
                f"{self._file}: the C code has no operator {', '.join(unknown)}; it has: "
                f"{', '.join(sorted(self._rules))}; the firmware can not be generated from this student"
            )

    def _quantize(self) -> None:
        """Float features to INT8: the front end in C does this. A change of grid has no rule."""
        if self._operator.inputs[0] not in self._graph.inputs:
            self._refuse("changes a grid in the middle of the network")
        index = self._operator.outputs[0]
        self._known[index] = _Padded(self._value(index))

    def _pass_on(self) -> None:
        self._known[self._operator.outputs[0]] = self._source(0)

    def _reshape(self) -> None:
        """Only the reading of the same bytes changes; paddings keep to the axes of maps."""
        index, given = self._operator.outputs[0], self._source(0)
        self._channels_last = True
        shape = self._map_shape(index)
        expected = tuple(
            size + before + behind
            for size, before, behind in zip(
                given.value.shape, (*given.before, 0), (*given.behind, 0), strict=True
            )
        )
        if shape != expected:
            self._refuse(f"turns {expected} into {shape}: only the order of mels, frames, channels is known")
        self._known[index] = given

    def _pad(self) -> None:
        given, widths = self._source(0), self._constant(1)
        source, result = (
            self._tensor(self._operator.inputs[0]),
            self._tensor(self._operator.outputs[0]),
        )
        if _grid(source) != _grid(result) or len(self._operator.inputs) > 2:
            self._refuse("pads with another number than zero")
        first = 1 if self._channels_last else 2
        pairs = [(int(before), int(behind)) for before, behind in widths]
        rows, columns = pairs[first], pairs[first + 1]
        others = [width for pair in (*pairs[:first], *pairs[first + 2 :]) for width in pair]
        if any(others):
            self._refuse("pads another axis than mels and frames")
        self._known[self._operator.outputs[0]] = _Padded(
            given.value,
            (given.before[0] + rows[0], given.before[1] + columns[0]),
            (given.behind[0] + rows[1], given.behind[1] + columns[1]),
        )

    def _convolution(self) -> None:
        weights = self._weights(1)
        assert weights.data is not None
        self._window_layer(weights.data, weights.scales)

    def _depthwise(self) -> None:
        """One input channel makes a plain convolution: its filters are its outputs."""
        weights = self._weights(1)
        assert weights.data is not None
        channels = self._source(0).value.shape[2]
        if channels == 1:
            self._window_layer(weights.data.transpose(3, 1, 2, 0), weights.scales)
        elif channels == weights.shape[3]:
            self._window_layer(weights.data[0], weights.scales)
        else:
            self._refuse(f"makes {weights.shape[3]} channels out of {channels}")

    def _window_layer(self, weights: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        given, result = self._source(0), self._value(self._operator.outputs[0])
        plain = weights.ndim == 4
        kernel = weights.shape[1:3] if plain else weights.shape[:2]
        axes = (1, 2, 3) if plain else (0, 1)
        channels = weights.shape[0] if plain else weights.shape[2]
        kind = Convolution if plain else Depthwise
        self._append(
            kind(
                name=self._name(),
                source=given.value,
                result=result,
                window=self._window(given, result.shape, (int(kernel[0]), int(kernel[1]))),
                weights=np.ascontiguousarray(weights),
                biases=self._biases(weights.sum(axes, dtype=np.int64), given.value.grid, channels),
                scaling=product_scaling(
                    given.value.grid, _each(scales, channels), result.grid, self._clamp(result.grid)
                ),
            )
        )

    def _dense(self) -> None:
        given, result = self._plain_source(0), self._value(self._operator.outputs[0])
        weights = self._weights(1)
        assert weights.data is not None
        if weights.shape[1] != given.size_bytes:
            self._refuse(f"takes {weights.shape[1]} numbers of {given.size_bytes}")
        outputs = weights.shape[0]
        self._append(
            Dense(
                name=self._name(),
                source=given,
                result=result,
                weights=weights.data,
                biases=self._biases(weights.data.sum(1, dtype=np.int64), given.grid, outputs),
                scaling=product_scaling(
                    given.grid, _each(weights.scales, outputs), result.grid, self._clamp(result.grid)
                ),
            )
        )

    def _mean(self) -> None:
        given, result = self._plain_source(0), self._value(self._operator.outputs[0])
        axes = sorted(int(axis) for axis in self._constant(1).ravel())
        if axes != [1, 2] or len(self._tensor(self._operator.inputs[0]).shape) != 4:
            self._refuse(f"takes the mean over the axes {axes}, not over mels and frames")
        self._append(Mean(self._name(), given, result, mean_scaling(given.grid, result.grid)))

    def _add(self) -> None:
        result = self._value(self._operator.outputs[0])
        constant = self._tensor(self._operator.inputs[1]).data
        given = self._plain_source(0)
        other_grid = _grid(self._tensor(self._operator.inputs[1]))
        other = self._plain_source(1) if constant is None else np.ascontiguousarray(constant.ravel())
        size = other.size_bytes if isinstance(other, Value) else other.size
        if size != given.size_bytes:
            self._refuse(f"adds {size} numbers to {given.size_bytes}")
        scaling = addition_scaling(given.grid, other_grid, result.grid, self._clamp(result.grid))
        self._append(Addition(self._name(), given, other, other_grid.zero_point, result, scaling))

    def _append(self, layer: Layer) -> None:
        self._layers.append(layer)
        self._known[self._operator.outputs[0]] = _Padded(layer.result)

    def _window(self, given: _Padded, result: Map, kernel: tuple[int, int]) -> Window:
        options = self._operator.options
        if (options["DilationHFactor"], options["DilationWFactor"]) != (1, 1):
            self._refuse("is dilated")
        stride = (options["StrideH"], options["StrideW"])
        before = list(given.before)
        if options["Padding"] == _SAME:
            for axis in (0, 1):
                size = given.value.shape[axis] + given.before[axis] + given.behind[axis]
                missing = max(0, (result[axis] - 1) * stride[axis] + kernel[axis] - size)
                before[axis] += missing // 2
        return Window(kernel, stride, (before[0], before[1]))

    def _biases(self, weight_sums: NDArray[np.int64], given: Grid, channels: int) -> NDArray[np.int32]:
        """The bias, less what the input's zero point adds to every sum."""
        inputs = self._operator.inputs
        bias = np.zeros(channels, np.int64)
        if len(inputs) > 2 and inputs[2] != ABSENT:
            bias = self._constant(2).astype(np.int64)
        whole = bias - given.zero_point * weight_sums
        if np.abs(whole).max(initial=0) >= 2**31:
            self._refuse("has a bias beyond 32 bits")
        return whole.astype(np.int32)

    def _clamp(self, grid: Grid) -> tuple[int, int]:
        """TFLite, CalculateActivationRangeQuantized (kernels/kernel_util.cc)."""
        activation = self._operator.options["FusedActivationFunction"]
        if activation not in _ACTIVATIONS:
            self._refuse(f"has the activation {activation}, which the C code does not have")
        low, high = _ACTIVATIONS[activation]
        return _step(low, grid, _QMIN), _step(high, grid, _QMAX)

    def _weights(self, place: int) -> RawTensor:
        tensor = self._tensor(self._operator.inputs[place])
        if tensor.data is None or tensor.dtype != np.int8 or tensor.zero_points.any():
            self._refuse("does not have constant, symmetric INT8 weights")
        assert tensor.data is not None
        if tensor.data.min(initial=0) < -_QMAX:  # two products of 128 by -128 outgrow the kernels' 16 bits
            self._refuse(f"has weights below {-_QMAX}")
        return tensor

    def _source(self, place: int) -> _Padded:
        return self._known[self._operator.inputs[place]]

    def _plain_source(self, place: int) -> Value:
        given = self._source(place)
        if given.before != (0, 0) or given.behind != (0, 0):
            self._refuse("takes a padded map; only convolutions do")
        return given.value

    def _constant(self, place: int) -> NDArray[np.int32]:
        data = self._tensor(self._operator.inputs[place]).data
        if data is None:
            self._refuse("takes a parameter that is not constant")
        assert data is not None
        return data

    def _value(self, index: int) -> Value:
        tensor = self._tensor(index)
        if tensor.dtype != np.int8:
            self._refuse(f"makes {tensor.dtype}, not int8")
        return Value(f"t{index}", self._map_shape(index), _grid(tensor))

    def _map_shape(self, index: int) -> Map:
        """(1, h, w, c) as it is; features (1, 1, mels, frames) as (mels, frames, 1); (1, n) as (1, 1, n)."""
        shape = self._tensor(index).shape
        if len(shape) == 4 and shape[0] == 1:
            return shape[1:] if self._channels_last else (shape[2], shape[3], 1)
        if len(shape) != 2 or shape[0] != 1:
            self._refuse(f"makes a tensor of shape {shape}, which is no map of one clip")
        return 1, 1, shape[1]

    def _tensor(self, index: int) -> RawTensor:
        return self._graph.tensors[index]

    def _name(self) -> str:
        return f"{self._operator.name.lower()}_{len(self._layers)}"

    def _refuse(self, reason: str) -> None:
        made = self._tensor(self._operator.outputs[0]).name
        raise ArtifactError(
            f"{self._file}: the operator {self._operator.name} that makes {made[:60]!r} {reason}; "
            "the firmware can not be generated from this student"
        )


def _grid(tensor: RawTensor) -> Grid:
    return Grid(float(tensor.scales[0]), int(tensor.zero_points[0]))


def _each(scales: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    return np.broadcast_to(scales, (channels,))


def _step(value: float, grid: Grid, end: int) -> int:
    if not np.isfinite(value):
        return end
    return int(np.clip(grid.zero_point + round(value / grid.scale), _QMIN, _QMAX))
