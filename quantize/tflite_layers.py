"""Layers of a .tflite: every tensor of its graph on real clips, run by the reference kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.layers import Grid

_KINDS: Mapping[str, str] = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "conv",
    "FULLY_CONNECTED": "linear",
    "MEAN": "mean",
    "ADD": "add",
    "BATCH_MATMUL": "product",
    "SOFTMAX": "softmax",
}
_NO_BIAS = -1


@dataclass(frozen=True)
class TfliteLayer:
    """One operator: the indices of its input, weight and bias (None without one) and output tensor.

    `grid` is that of its output, `weight_scales` (channels,) are those of its weight, each None or empty
    where it is float.
    """

    kind: str
    source: int
    weight: int | None
    bias: int | None
    output: int
    grid: Grid | None
    weight_scales: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


class TfliteGraph:
    """A .tflite with one float input whose every tensor can be read."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_path=str(path),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        self._interpreter.allocate_tensors()
        self._details = {found["index"]: found for found in self._interpreter.get_tensor_details()}
        self._input = self._interpreter.get_input_details()[0]["index"]
        ops = self._interpreter._get_ops_details()
        self._before = {int(op["outputs"][0]): int(op["inputs"][0]) for op in ops if len(op["inputs"])}
        self.layers = self._layers()

    def run(self, item: NDArray[Any]) -> None:
        """Run one item of a batch, batch axis included."""
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(item))
        self._interpreter.invoke()

    def features(self, layer: TfliteLayer, size: int) -> int:
        """The tensor of `size` values that a network's first layer reads, before it is shaped and padded."""
        tensor = layer.source
        while int(np.prod(self._details[tensor]["shape"])) != size:
            tensor = self._before[tensor]
        return tensor

    def raw(self, tensor: int) -> NDArray[Any]:
        """A tensor as it is stored."""
        found: NDArray[Any] = self._interpreter.get_tensor(tensor)
        return found

    def real(self, tensor: int) -> NDArray[np.float32]:
        """A tensor's real values."""
        grid, raw = self.grid(tensor), self.raw(tensor).astype(np.float32)
        return raw if grid is None else np.float32(grid.scale) * (raw - grid.zero_point)

    def grid(self, tensor: int) -> Grid | None:
        """The grid of a tensor that is quantised as a whole; None for a float one."""
        details = self._details[tensor]
        if not np.issubdtype(details["dtype"], np.integer):
            return None
        scale, zero_point = details["quantization"]
        limits = np.iinfo(details["dtype"])
        return Grid(float(scale), int(zero_point), int(limits.min), int(limits.max))

    def _layers(self) -> tuple[TfliteLayer, ...]:
        ops = [op for op in self._interpreter._get_ops_details() if op["op_name"] in _KINDS]
        found: list[TfliteLayer] = []
        for op, before in zip(ops, [None, *ops], strict=False):
            if before is not None and _adds_its_bias(op, before):
                found[-1] = self._layer(before, int(op["outputs"][0]))
            else:
                found.append(self._layer(op, int(op["outputs"][0])))
        return tuple(found)

    def _layer(self, op: dict[str, Any], output: int) -> TfliteLayer:
        kind = _KINDS[op["op_name"]]
        source, *constants = (int(tensor) for tensor in op["inputs"])
        weight = constants[0] if kind in ("conv", "linear") else None
        bias = constants[1] if weight is not None and constants[1] != _NO_BIAS else None
        scales = self._details[weight]["quantization_parameters"]["scales"] if weight is not None else []
        return TfliteLayer(
            kind, source, weight, bias, output, self.grid(output), np.asarray(scales, dtype=np.float32)
        )


def _adds_its_bias(op: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """The converter writes some linear layers as a product and an addition."""
    return (
        op["op_name"] == "ADD"
        and before["op_name"] == "FULLY_CONNECTED"
        and int(before["inputs"][2]) == _NO_BIAS
        and int(op["inputs"][0]) == int(before["outputs"][0])
    )
