"""Layers of an .onnx: what each gives for one clip, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError

if TYPE_CHECKING:
    import onnx

_KINDS: Mapping[str, str] = {
    "Conv": "conv",
    "Gemm": "linear",
    "ReduceMean": "mean",
    "Add": "add",
    "MatMul": "product",
    "Softmax": "softmax",
}
# What belongs to the layer before it, in the order in which it may follow.
_FOLLOWING = ("Clip", "Relu", "Reshape", "QuantizeLinear", "DequantizeLinear")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class OnnxRun:
    """One clip: the features as the first layer reads them, and kind and output of each layer.

    An output is behind the layer's activation and, in an INT8 file, its rounding.
    """

    features: Floats
    layers: tuple[tuple[str, Floats], ...]


def run_onnx(path: Path, features: Floats) -> OnnxRun:
    """Run features (1, 1, n_mels, n_frames), operator by operator.

    Raises ArtifactError if the file can not be loaded.
    """
    import onnx
    import onnxruntime

    try:
        model = onnx.load(path)
        kinds, names = _layers(model)
        for name in names:
            if name not in {output.name for output in model.graph.output}:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Fused, an operator would not give its own output.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        heard, *values = session.run(list(names), {"features": features})
    except Exception as error:  # onnx and its runtime share no base of their errors
        raise ArtifactError(f"{path} can not be run ({error}); it is damaged") from None
    return OnnxRun(heard, tuple(zip(kinds, values, strict=True)))


def _layers(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Kinds of the layers; the tensors of the features as they are read, and of each layer's output."""
    nodes = list(model.graph.node)
    following = {(node.input[0], node.op_type): node.output[0] for node in nodes}
    layers = [node for node in nodes if node.op_type in _KINDS]

    def end(name: str) -> str:
        for kind in _FOLLOWING:
            name = following.get((name, kind), name)
        return name

    names = [end("features"), *(end(node.output[0]) for node in layers)]
    return [_KINDS[node.op_type] for node in layers], names
