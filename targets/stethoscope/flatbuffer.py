"""Flatbuffer: the operators and tensors of a .tflite, as plain numbers.

The schema is that of the LiteRT package. Nothing is interpreted here: see `lowering`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError

T = TypeVar("T")

ABSENT = -1  # the index of an input that is left out


@dataclass(frozen=True)
class RawTensor:
    """A tensor: its quantisation (empty: none), and its numbers if it is a constant."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    data: NDArray[Any] | None


@dataclass(frozen=True)
class RawOperator:
    """An operator by its name in the schema, and the tensors that it reads and makes; `options` by name."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]


@dataclass(frozen=True)
class RawGraph:
    """The first subgraph; `outputs` maps the signature's names to tensors."""

    tensors: tuple[RawTensor, ...]
    operators: tuple[RawOperator, ...]
    inputs: tuple[int, ...]
    outputs: dict[str, int]


# The options that change what an operator computes, under their names in the schema.
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": (
        "Conv2DOptions",
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction"),
    ),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction"),
    ),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction",)),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
}


def read_graph(path: Path) -> RawGraph:
    """Read a .tflite. Raises ArtifactError if it is damaged."""
    return _read(path, _Reader.graph)


def read_operator_names(path: Path) -> tuple[str, ...]:
    """Of each operator in its order, a custom one by its own name. Raises ArtifactError as `read_graph`."""
    return _read(path, _Reader.operator_names)


def _read(path: Path, part: Callable[[_Reader], T]) -> T:
    content = path.read_bytes()
    try:
        return part(_Reader(content))
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ArtifactError(f"{path} can not be read ({error}); quantise the student again") from None


class _Reader:
    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._content = schema, content
        self._model: Any = schema.Model.GetRootAs(content, 0)
        self._graph: Any = self._model.Subgraphs(0)
        self._names = _names_of(schema.BuiltinOperator)
        self._types = {code: name for code, name in _names_of(schema.TensorType).items() if name in _DTYPES}

    def graph(self) -> RawGraph:
        signature = self._model.SignatureDefs(0)
        named = [signature.Outputs(index) for index in range(signature.OutputsLength())]
        return RawGraph(
            tensors=tuple(self._tensor(index) for index in range(self._graph.TensorsLength())),
            operators=tuple(self._operator(index) for index in range(self._graph.OperatorsLength())),
            inputs=_indices(self._graph.InputsAsNumpy()),
            outputs={output.Name().decode(): int(output.TensorIndex()) for output in named},
        )

    def operator_names(self) -> tuple[str, ...]:
        return tuple(
            self._name(self._graph.Operators(index)) for index in range(self._graph.OperatorsLength())
        )

    def _name(self, operator: Any) -> str:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        name = self._names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        return code.CustomCode().decode() if name == "CUSTOM" else name

    def _operator(self, index: int) -> RawOperator:
        operator = self._graph.Operators(index)
        name = self._name(operator)
        options: dict[str, int] = {}
        if name in _OPTIONS:
            kind, fields = _OPTIONS[name]
            table = getattr(self._schema, kind)()
            table.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
            options = {field: int(getattr(table, field)()) for field in fields}
        return RawOperator(
            name, _indices(operator.InputsAsNumpy()), _indices(operator.OutputsAsNumpy()), options
        )

    def _tensor(self, index: int) -> RawTensor:
        tensor = self._graph.Tensors(index)
        dtype = np.dtype(_DTYPES[self._types[tensor.Type()]])
        shape = _indices(tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
        quantisation = tensor.Quantization()
        has_grid = quantisation is not None and quantisation.ScaleLength() > 0
        raw = self._buffer(tensor)
        return RawTensor(
            name=tensor.Name().decode(),
            shape=shape,
            dtype=dtype,
            scales=quantisation.ScaleAsNumpy() if has_grid else np.zeros(0, np.float32),
            zero_points=quantisation.ZeroPointAsNumpy() if has_grid else np.zeros(0, np.int64),
            data=raw.view(dtype).reshape(shape) if raw.size else None,
        )

    def _buffer(self, tensor: Any) -> NDArray[np.uint8]:
        buffer = self._model.Buffers(tensor.Buffer())
        if buffer.Offset() > 1:  # a large file keeps its numbers behind the flatbuffer
            return np.frombuffer(self._content, np.uint8, buffer.Size(), buffer.Offset())
        found = buffer.DataAsNumpy()
        return found if isinstance(found, np.ndarray) else np.zeros(0, dtype=np.uint8)


_DTYPES = {
    "FLOAT32": "<f4",
    "INT32": "<i4",
    "INT64": "<i8",
    "INT16": "<i2",
    "INT8": "<i1",
    "UINT8": "<u1",
    "BOOL": "?",
}


def _names_of(enumeration: Any) -> dict[int, str]:
    return {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}


def _indices(numbers: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)
