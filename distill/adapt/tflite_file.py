"""TfliteFile: the last layers of a .tflite, read and overwritten in place.

The flatbuffer's own bytes are written over: every number has the place that it had, and unchanged numbers
leave the file as it was. The schema is that of the LiteRT package.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError
from distill.adapt.layer import RANK, Grid, Kind, Layer, Site

_QMIN, _QMAX = -128, 127
_NO_TENSOR = -1


@dataclass(frozen=True)
class _Slot:
    """A site and the places of its numbers: views into the file."""

    site: Site
    weights: NDArray[np.int8]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    biases: NDArray[np.int32]
    bias_scales: NDArray[np.float32]


class TfliteFile:
    """A .tflite in memory. `expected` names the kinds of its last weighted layers, in the student's order.

    Raises ArtifactError if the file can not be read, or does not end in such layers.
    """

    def __init__(self, path: Path, expected: Sequence[Kind]) -> None:
        self._content = bytearray(path.read_bytes())
        try:
            slots = list(_Graph(self._content).slots())
        except (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise ArtifactError(f"{path} can not be read ({error}); build the bundle again") from None
        self._slots = _last(slots, expected, path)

    @property
    def sites(self) -> list[Site]:
        """Where the layers stand, in the student's order."""
        return [slot.site for slot in self._slots]

    def layers(self) -> list[tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int32]]]:
        """A copy of each layer's weights, weight scales and biases."""
        return [(slot.weights.copy(), slot.scales.copy(), slot.biases.copy()) for slot in self._slots]

    def patched(self, layers: Sequence[Layer]) -> bytes:
        """The file with these numbers. Raises ArtifactError if a layer is of another site."""
        for slot, layer in zip(self._slots, layers, strict=True):
            if layer.site != slot.site or layer.biases.size != slot.biases.size:
                raise ArtifactError(f"a layer of {layer.site} does not fit {slot.site}")
            slot.weights[...] = layer.weights
            slot.scales[...] = layer.weight_scales
            slot.zero_points[...] = layer.weight_zero_point
            slot.biases[...] = layer.biases
            if slot.biases.size:
                slot.bias_scales[...] = np.float32(slot.site.input.scale) * layer.weight_scales
        return bytes(self._content)


def _last(slots: list[_Slot], expected: Sequence[Kind], path: Path) -> list[_Slot]:
    """The last slots in the expected order; a file may run the offset and the heads either way round."""
    left = slots[-len(expected) :]
    chosen = []
    for kind in expected:
        found = next((slot for slot in left if slot.site.kind is kind), None)
        if found is None:
            kinds = ", ".join(slot.site.kind.name.lower() for slot in slots[-len(expected) :])
            raise ArtifactError(f"{path} ends in {kinds}, not as its student does; build the bundle again")
        left = [slot for slot in left if slot is not found]
        chosen.append(found)
    return chosen


class _Graph:
    """The first subgraph of a flatbuffer."""

    def __init__(self, content: bytearray) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._content = schema, content
        self._model: Any = schema.Model.GetRootAs(content, 0)
        self._graph: Any = self._model.Subgraphs(0)
        operators = schema.BuiltinOperator
        self._kinds = {
            operators.CONV_2D: (Kind.CONVOLUTION, schema.Conv2DOptions),
            operators.DEPTHWISE_CONV_2D: (Kind.DEPTHWISE, schema.DepthwiseConv2DOptions),
            operators.FULLY_CONNECTED: (Kind.FULLY_CONNECTED, schema.FullyConnectedOptions),
            operators.ADD: (Kind.ADD, schema.AddOptions),
        }

    def slots(self) -> Iterator[_Slot]:
        """Each weighted INT8 layer, in the order in which the file runs them."""
        for index in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(index)
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            if builtin in self._kinds:
                kind, options = self._kinds[builtin]
                slot = self._slot(operator, kind, options)
                if slot is not None:
                    yield slot

    def _slot(self, operator: Any, kind: Kind, options: Any) -> _Slot | None:
        source, weights, *bias = (int(index) for index in operator.InputsAsNumpy())
        constant = self._tensor(weights)
        if constant.Type() != self._schema.TensorType.INT8 or not self._buffer(constant).size:
            return None  # a float layer, or an addition of two maps
        given, made = self._grid(source), self._grid(int(operator.OutputsAsNumpy()[0]))
        settings = options()
        settings.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        shape = tuple(int(size) for size in constant.ShapeAsNumpy())[-RANK[kind] :]
        clamp = self._clamp(settings.FusedActivationFunction(), made)
        biases, bias_scales = self._bias(bias)
        quantisation = constant.Quantization()
        return _Slot(
            site=Site(kind, shape, given, made, clamp),
            weights=self._buffer(constant).view(np.int8).reshape(shape),
            scales=quantisation.ScaleAsNumpy(),
            zero_points=quantisation.ZeroPointAsNumpy(),
            biases=biases,
            bias_scales=bias_scales,
        )

    def _bias(self, inputs: list[int]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if not inputs or inputs[0] == _NO_TENSOR:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        tensor = self._tensor(inputs[0])
        return self._buffer(tensor).view(np.int32), tensor.Quantization().ScaleAsNumpy()

    def _tensor(self, index: int) -> Any:
        return self._graph.Tensors(index)

    def _buffer(self, tensor: Any) -> NDArray[np.uint8]:
        buffer = self._model.Buffers(tensor.Buffer())
        if buffer.Offset() > 1:  # a large file keeps its numbers behind the flatbuffer
            return np.frombuffer(self._content, np.uint8, buffer.Size(), buffer.Offset())
        found = buffer.DataAsNumpy()
        return found if isinstance(found, np.ndarray) else np.zeros(0, dtype=np.uint8)

    def _grid(self, index: int) -> Grid:
        quantisation = self._tensor(index).Quantization()
        return Grid(float(quantisation.ScaleAsNumpy()[0]), int(quantisation.ZeroPointAsNumpy()[0]))

    def _clamp(self, activation: int, output: Grid) -> tuple[int, int]:
        """TFLite, CalculateActivationRangeQuantized (kernels/kernel_util.cc)."""
        functions = self._schema.ActivationFunctionType
        bounds: dict[int, tuple[float, float]] = {
            functions.NONE: (-np.inf, np.inf),
            functions.RELU: (0.0, np.inf),
            functions.RELU6: (0.0, 6.0),
        }
        low, high = bounds[activation]
        return _step(low, output, _QMIN), _step(high, output, _QMAX)


def _step(value: float, grid: Grid, end: int) -> int:
    if not np.isfinite(value):
        return end
    return int(np.clip(grid.zero_point + round(value / grid.scale), _QMIN, _QMAX))
