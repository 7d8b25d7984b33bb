"""How many bytes lie in memory at once while a graph runs: from the graph itself, for the plan's tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

_FLOAT, _VIEWS = ("bmm", "softmax"), ("batch_norm", "reshape", "transpose")
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Op:
    """One operator: the tensors that it reads, constants left out, and those that it writes."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def peak_bytes(ops: Sequence[Op], sizes: Mapping[str, int], inside: Collection[str]) -> int:
    """The most bytes at once; a tensor lives from its operator to the last one that reads it.

    Operators named in `inside` run within their neighbour and write no tensor of their own.
    """
    root: dict[str, str] = {}
    steps = []
    for op in ops:
        reads = tuple(root.get(name, name) for name in op.reads)
        if op.name in inside:
            root.update(dict.fromkeys(op.writes, reads[0]))
        else:
            steps.append((reads, op.writes))
    last = {name: index for index, (reads, _) in enumerate(steps) for name in reads}
    born: dict[str, int] = {}
    for index, (reads, writes) in enumerate(steps):
        for name in reads:
            born.setdefault(name, 0)  # an input of the graph
        born.update(dict.fromkeys(writes, index))
    live = [
        sum(sizes[name] for name in born if born[name] <= index <= last.get(name, len(steps)))
        for index in range(len(steps))
    ]
    return max(live)


def of_module(module: nn.Module, example: Tensor) -> int:
    """Of the graph that torch.export gives, at a byte a number, as its quantised form runs fused.

    What attention's products and softmax read and write takes four bytes: it is float.
    """
    graph = torch.export.export(module.eval(), (example,)).graph
    constants = {node.name for node in graph.nodes if str(node.name).startswith(("p_", "b_"))}
    sizes = {
        node.name: node.meta["val"].numel() * (4 if _is_float(node) else 1)
        for node in graph.nodes
        if node.op != "output" and isinstance(node.meta["val"], Tensor)
    }
    ops = [
        Op(_aten(node), tuple(n.name for n in node.all_input_nodes if n.name not in constants), (node.name,))
        for node in graph.nodes
        if node.op == "call_function"
    ]
    inside = {"pad", "batch_norm", "hardtanh", "dropout", "flatten", "reshape", "transpose"}
    return peak_bytes(ops, sizes, inside)


def of_tflite(model: Path, inside: Collection[str]) -> int:
    """Of the INT8 tensors of a .tflite, in the order of its operators."""
    details, operators = _opened(model)
    written = {index for op in operators for index in op["outputs"] if details[index]["dtype"] == np.int8}

    def named(indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(str(index) for index in indices if index in written)

    ops = [Op(op["op_name"], named(op["inputs"]), named(op["outputs"])) for op in operators]
    sizes = {str(index): prod(details[index]["shape"]) for index in written}
    return peak_bytes(ops, sizes, inside)


def tflite_weights(model: Path) -> list[dict[str, Any]]:
    """The INT8 weights of the convolutions and linear layers of a .tflite."""
    details, operators = _opened(model)
    return [details[op["inputs"][1]] for op in operators if op["op_name"] in _WEIGHTED]


def _opened(model: Path) -> tuple[dict[int, dict[str, Any]], list[dict[str, Any]]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=str(model), experimental_op_resolver_type=plain)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    return tensors, interpreter._get_ops_details()


def _is_float(node: Node) -> bool:
    """Whether attention computes a node, or reads it: at once, or in another shape."""
    if node.op == "call_function" and _aten(node) in _FLOAT:
        return True
    views = [user for user in node.users if user.op == "call_function" and _aten(user) in _VIEWS]
    return any(_aten(user) in _FLOAT for user in node.users if user.op == "call_function") or any(
        map(_is_float, views)
    )


def _aten(node: Node) -> str:
    return str(node.target).split(".")[1]
