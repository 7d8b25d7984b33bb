"""ONNX: the float student as an interchange copy."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

OPSET = 20  # what torch's exporter writes natively: no version conversion in between


def export(network: nn.Module, features: Tensor, path: Path) -> None:
    """Write `path`: input features, outputs embedding and logits, batch of one, weights inside."""
    program = torch.onnx.export(
        network,
        (features,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["features"],
        output_names=["embedding", "logits"],
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    # Stack traces of the exporting machine: its paths, and of no use to who runs the model.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
