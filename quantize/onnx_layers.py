"""Layers of the .onnx: what each gives for one clip, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError

_KINDS: Mapping[str, str] = {"Conv": "conv", "Gemm": "linear", "ReduceMean": "mean", "Add": "add"}
_ACTIVATIONS = ("Clip", "Relu")

Floats = NDArray[np.float32]


def run_onnx(path: Path, features: Floats) -> list[tuple[str, Floats]]:
    """Kind and output, its activation included, of each layer for features (1, 1, n_mels, n_frames).

    Raises ArtifactError if the file can not be loaded.
    """
    import onnx
    import onnxruntime

    try:
        model = onnx.load(path)
        found = _layers(model)
        for _, name in found:
            if name not in {output.name for output in model.graph.output}:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Fused, an operator would not give its own output.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        values = session.run([name for _, name in found], {"features": features})
    except Exception as error:  # onnx and its runtime share no base of their errors
        raise ArtifactError(f"{path} can not be run ({error}); it is damaged") from None
    return [(kind, value) for (kind, _), value in zip(found, values, strict=True)]


def _layers(model: object) -> list[tuple[str, str]]:
    nodes = list(model.graph.node)  # type: ignore[attr-defined]
    ends = {node.input[0]: node.output[0] for node in nodes if node.op_type in _ACTIVATIONS}
    return [
        (_KINDS[node.op_type], ends.get(node.output[0], node.output[0]))
        for node in nodes
        if node.op_type in _KINDS
    ]
