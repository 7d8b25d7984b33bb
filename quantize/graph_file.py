"""Graph file: the numbers of a quantised PT2E graph, from which the graph itself can be made again.

`graph.safetensors` holds every tensor that the graph reads, by the node that reads it (`read.NODE`), and
the grid of every node that rounds or reads a rounding (`grid.NODE`: scale, zero point). Its structure
follows from the student and the scheme, whose JSON is the tensor `scheme`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.fx import GraphModule, Node

from acula_edge.errors import ArtifactError
from acula_edge.students.student import Student
from quantize import executorch
from quantize.layers import attribute, is_call
from quantize.scheme import SchemeConfig

GRAPH = "graph.safetensors"
_READ, _GRID, _SCHEME = "read.", "grid.", "scheme"


def save_graph(quantised: GraphModule, scheme: SchemeConfig, folder: Path) -> None:
    """Write `graph.safetensors`; equal graphs give equal bytes."""
    tensors = {f"{_READ}{node.name}": attribute(quantised, node).contiguous() for node in _reading(quantised)}
    tensors |= {
        f"{_GRID}{node.name}": torch.tensor(node.args[1:3], dtype=torch.float64)
        for node in _rounding(quantised)
    }
    text = scheme.model_dump_json().encode()
    save_file({**tensors, _SCHEME: torch.tensor(list(text), dtype=torch.uint8)}, folder / GRAPH)


def load_graph(student: Student, path: Path) -> GraphModule:
    """The graph of `path`, which was made from `student`.

    Raises ArtifactError if the file can not be read or belongs to another student.
    """
    try:
        tensors = load_file(path)
        scheme = SchemeConfig.model_validate_json(bytes(tensors.pop(_SCHEME).tolist()))
    except (SafetensorError, OSError, KeyError, ValidationError) as error:
        raise ArtifactError(f"{path} can not be read ({error}); build it again") from None
    silence = torch.zeros(1, 1, student.n_mels, student.n_frames)
    quantised = executorch.quantise(student, silence, scheme)  # its ranges are replaced
    _restore(quantised, tensors, path)
    return quantised


def _restore(quantised: GraphModule, tensors: dict[str, Tensor], path: Path) -> None:
    reading = {f"{_READ}{node.name}": node for node in _reading(quantised)}
    rounding = {f"{_GRID}{node.name}": node for node in _rounding(quantised)}
    if tensors.keys() != reading.keys() | rounding.keys():
        raise ArtifactError(f"{path} belongs to another student; build the bundle again")
    for name, node in reading.items():
        attribute(quantised, node).copy_(tensors[name])
    for name, node in rounding.items():
        scale, zero_point = tensors[name].tolist()
        node.update_arg(1, scale)
        node.update_arg(2, int(zero_point))
    quantised.recompile()


def _reading(quantised: GraphModule) -> list[Node]:
    return [node for node in quantised.graph.nodes if node.op == "get_attr"]


def _rounding(quantised: GraphModule) -> list[Node]:
    """Nodes that quantise a tensor as a whole, or read one that was, with a grid that is a constant."""
    return [
        node
        for node in quantised.graph.nodes
        if (is_call(node, "quantize_per_tensor") or is_call(node, "dequantize_per_tensor"))
        and isinstance(node.args[1], float)
    ]
