"""Which operators a graph has, before and after lowering, and which of them stay outside the delegate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.fx import Graph, GraphModule, Node

Counts = dict[str, int]


@dataclass(frozen=True)
class Steps:
    """The INT8 grid behind a float tensor: real = scale * (q - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class OpTable:
    """Operators of one model file.

    `before` counts the graph that went in; `delegated` and `undelegated` the operators that the delegate
    (XNNPACK) took and left, in `delegates` partitions. `int8` and `floating` count the operators of
    the final graph by the type that they compute in (16-bit activations count as `int8`); for a .pte,
    where XNNPACK fuses a convolution with the quantisation around it, they are those of the convolutions
    and linear layers.
    """

    before: Counts
    delegates: int
    delegated: Counts
    undelegated: Counts
    int8: Counts
    floating: Counts

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


_WEIGHTED = ("conv1d", "conv2d", "linear")  # aten operators that have a weight
_INTEGERS = (np.int8, np.int16)
_NETWORK = "_network"  # the student in the modules of `graphs`, part of its tensors' names
_PLUMBING = ("getitem", "executorch_call_delegate")


def pte_ops(exported: Graph, lowered: GraphModule) -> OpTable:
    """Op table of a .pte from the exported graph and the graph after partitioning."""
    partitions = [
        getattr(lowered, node.target)
        for node in lowered.graph.nodes
        if node.op == "get_attr" and hasattr(getattr(lowered, node.target), "original_module")
    ]
    weighted = [node for node in _calls(exported) if _name(node) in _WEIGHTED]
    return OpTable(
        before=_count(_name(node) for node in _calls(exported)),
        delegates=len(partitions),
        delegated=_count(_name(node) for part in partitions for node in _calls(part.original_module.graph)),
        undelegated=_count(name for name in map(_name, _calls(lowered.graph)) if name not in _PLUMBING),
        int8=_count(_name(node) for node in weighted if _has_int8_weight(node)),
        floating=_count(_name(node) for node in weighted if not _has_int8_weight(node)),
    )


def tflite_ops(float_model: Path, model: Path) -> OpTable:
    """Op table of a .tflite from the float file and the final one (the same file for a float model)."""
    from ai_edge_litert.interpreter import Interpreter

    def opened(path: Path) -> Interpreter:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        return interpreter

    before, _ = _split_delegates(opened(float_model))
    final = opened(model)
    ops, delegates = _split_delegates(final)
    left = _outside(final, ops, delegates)
    dtypes = {tensor["index"]: tensor["dtype"] for tensor in final.get_tensor_details()}
    integer = [_is_integer(op, dtypes) for op in ops]
    return OpTable(
        before=_count(op["op_name"] for op in before),
        delegates=len(delegates),
        delegated=_count(op["op_name"] for op in ops if op["index"] not in left),
        undelegated=_count(op["op_name"] for op in ops if op["index"] in left),
        int8=_count(op["op_name"] for op, counted in zip(ops, integer, strict=True) if counted),
        floating=_count(op["op_name"] for op, counted in zip(ops, integer, strict=True) if not counted),
    )


def tflite_steps(model: Path) -> dict[str, Steps]:
    """Scale and zero point of the integer tensors behind the features and the outputs of a .tflite.

    A tensor that stays float has none.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    ops, _ = _split_delegates(interpreter)
    behind = {int(op["outputs"][0]): int(op["inputs"][0]) for op in ops if op["op_name"] == "DEQUANTIZE"}
    outputs = interpreter.get_signature_runner().get_output_details()
    ends = {name: behind.get(details["index"]) for name, details in sorted(outputs.items())}
    first = next((op for op in ops if op["op_name"] == "QUANTIZE"), None)
    # With a stem in float, the first tensor on a grid is one of the network's own.
    if first and _NETWORK not in tensors[int(first["inputs"][0])]["name"]:
        ends = {"features": int(first["outputs"][0]), **ends}
    grids = {name: tensors[index]["quantization"] for name, index in ends.items() if index is not None}
    return {name: Steps(float(scale), int(zero)) for name, (scale, zero) in grids.items()}


def _is_integer(op: dict[str, Any], dtypes: dict[int, Any]) -> bool:
    """Whether an op of a .tflite computes with integers: it puts them out, or takes its weights as such."""
    if dtypes[int(op["outputs"][0])] in _INTEGERS:
        return True
    weight = int(op["inputs"][1]) if len(op["inputs"]) > 1 else -1
    return op["op_name"] != "DEQUANTIZE" and dtypes.get(weight) == np.int8


def _outside(interpreter: Any, ops: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """Indices of the ops that still run on their own.

    They are the ops that make what a delegate, a graph output or another such op needs.
    """
    maker = {int(tensor): op for op in ops for tensor in op["outputs"]}
    made_inside = {int(tensor) for delegate in delegates for tensor in delegate["outputs"]}
    wanted = [int(tensor) for delegate in delegates for tensor in delegate["inputs"]]
    wanted += [details["index"] for details in interpreter.get_output_details()]
    left: set[int] = set()
    while wanted:
        tensor = wanted.pop()
        if tensor in maker and tensor not in made_inside and maker[tensor]["index"] not in left:
            left.add(maker[tensor]["index"])
            wanted += [int(source) for source in maker[tensor]["inputs"]]
    return left


def _split_delegates(interpreter: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    # The interpreter keeps the replaced ops and appends one DELEGATE for each partition.
    ops = interpreter._get_ops_details()
    return (
        [op for op in ops if op["op_name"] != "DELEGATE"],
        [op for op in ops if op["op_name"] == "DELEGATE"],
    )


def _calls(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op == "call_function"]


def _name(node: Node) -> str:
    """`conv2d` of `aten.conv2d.default`; edge dialect names carry more around it."""
    name = getattr(node.target, "_name", None) or getattr(node.target, "__name__", str(node.target))
    return str(name).split("::")[-1].split(".")[0]


def _has_int8_weight(node: Node) -> bool:
    weight = node.args[1]
    return isinstance(weight, Node) and _name(weight).startswith("dequantize")


def _count(names: Iterable[str]) -> Counts:
    return dict(sorted(Counter(names).items()))
