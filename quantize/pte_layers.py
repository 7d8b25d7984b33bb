"""Layers of a .pte: the numbers that it holds for XNNPACK, read from the file without running it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError

_KINDS: Mapping[str, str] = {
    "XNNConv2d": "conv",
    "XNNDepthwiseConv2d": "conv",
    "XNNFullyConnected": "linear",
    "XNNGlobalAvgPooling2d": "mean",
    "XNNMean": "mean",
    "XNNAdd": "add",
    "XNNBatchMatrixMultiply": "product",
    "XNNSoftmax": "softmax",
}
_INFINITY = re.compile(r"\binf\b")  # as the compiler writes it, which is not JSON
_INT8 = ("xnn_datatype_qcint8", "xnn_datatype_qint8")
# Where the output channels of a weight lie, if no scale of their own says so.
_LAST, _CHANNELS_LAST = -1, ("XNNDepthwiseConv2d",)


@dataclass(frozen=True)
class PteLayer:
    """One operator: INT8 weight (channels, n) and its scales (channels,), bias (channels,) in real values.

    None for what it has not or holds in another type; `scale` and `zero_point` are those of its output.
    """

    kind: str
    weight: NDArray[np.int8] | None
    weight_scales: NDArray[np.float32] | None
    bias: NDArray[np.float64] | None
    scale: float | None
    zero_point: int | None


def read_pte(path: Path) -> tuple[PteLayer, ...]:
    """The layers of all XNNPACK delegates of a .pte, in their order.

    Raises ArtifactError for a file that can not be read.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        file = deserialize_pte_binary(path.read_bytes())
        plan = next(plan for plan in file.program.execution_plan if plan.name == "forward")
        blobs = [file.program.backend_delegate_data[one.processed.index].data for one in plan.delegates]
        graphs = [_Delegate(bytes(blob), file.named_data) for blob in blobs]
        return tuple(layer for graph in graphs for layer in graph.layers())
    except (OSError, ValueError, KeyError, IndexError, StopIteration, AssertionError) as error:
        raise ArtifactError(
            f"{path} can not be read ({error}); it is damaged or of another version"
        ) from None


class _Delegate:
    """One XNNPACK graph and the constants that it names."""

    def __init__(self, blob: bytes, named: Any) -> None:
        self._graph = _decompiled(blob)
        self._values = [value["xvalue_union"] for value in self._graph["xvalues"]]
        self._named = named

    def layers(self) -> Iterator[PteLayer]:
        """Its operators that are layers."""
        for node in self._graph["xnodes"]:
            if node["xnode_union_type"] in _KINDS:
                yield self._layer(node["xnode_union_type"], node["xnode_union"])

    def _layer(self, operator: str, node: Mapping[str, Any]) -> PteLayer:
        kind, end = _KINDS[operator], self._values[node["output_id"]].get("quant_params", {})
        weight = scales = bias = None
        if kind in ("conv", "linear"):
            axis = _LAST if operator in _CHANNELS_LAST else 0
            weight, scales = self._weight(self._values[node["filter_id"]], axis)
            bias = self._bias(node, scales)
        return PteLayer(kind, weight, scales, bias, end.get("scale"), end.get("zero_point"))

    def _weight(self, value: Mapping[str, Any], axis: int) -> tuple[Any, Any]:
        tensor = value.get("tensor_value", value)
        if tensor["datatype"] not in _INT8:
            return None, None
        raw = np.frombuffer(self._constant(tensor["constant_buffer_idx"]), np.int8)
        parameters = value["quant_params"]
        scales = np.asarray(parameters["scale"], dtype=np.float32)
        if not scales.size:
            scales = np.frombuffer(self._constant(parameters["scale_buffer_idx"]), np.float32)
        weight = np.moveaxis(raw.reshape(tensor["dims"]), parameters.get("channel_dim", axis), 0)
        return weight.reshape(len(weight), -1), np.broadcast_to(scales, (len(weight),))

    def _bias(
        self, node: Mapping[str, Any], scales: NDArray[np.float32] | None
    ) -> NDArray[np.float64] | None:
        """In real values: an int32 bias has the scale of its input times those of the weight."""
        value = self._values[node["bias_id"]] if node["bias_id"] < len(self._values) else {}
        tensor = value.get("tensor_value", value)
        if "constant_buffer_idx" not in tensor or tensor["constant_buffer_idx"] == 0:
            return None
        raw = self._constant(tensor["constant_buffer_idx"])
        if tensor["datatype"] == "xnn_datatype_fp32":
            return np.frombuffer(raw, np.float32).astype(np.float64)
        assert scales is not None, "an int32 bias belongs to an INT8 weight"
        step = self._values[node["input1_id"]]["quant_params"]["scale"]
        return np.asarray(np.frombuffer(raw, np.int32) * (scales.astype(np.float64) * step))

    def _constant(self, index: int) -> bytes:
        key = self._graph["constant_data"][index]["named_key"]
        return bytes(self._named.buffers[self._named.pte_data[key].buffer_index])


def _decompiled(blob: bytes) -> dict[str, Any]:
    """The delegate's graph as JSON, by the compiler of flatbuffers that comes with ExecuTorch."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader, _get_schema_bytes
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(blob[: XNNHeader.EXPECTED_LENGTH])
    start = header.flatbuffer_offset
    with tempfile.TemporaryDirectory() as folder:
        schema, data = Path(folder, "graph.fbs"), Path(folder, "graph.bin")
        schema.write_bytes(_get_schema_bytes())
        data.write_bytes(blob[start : start + header.flatbuffer_size])
        _flatc_decompile(folder, str(schema), str(data), ["--raw-binary"])
        text = Path(folder, "graph.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(_INFINITY.sub("Infinity", text))
    return found
