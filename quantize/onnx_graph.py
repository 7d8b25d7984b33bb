"""ONNX QDQ: the INT8 graph node by node, with QuantizeLinear and DequantizeLinear on the same grids.

Torch's own exporter wraps every scale in casts, which ONNX Runtime does not fuse, and leaves the biases
float. Here scales are constants and biases int32, as in the other INT8 files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.fx import GraphModule, Node

from acula_edge.students.student import Student
from quantize.layers import attribute, grid_of, is_call
from quantize.onnx_export import OPSET

ONNX_GRAPH = "graph.onnx"
_IR_VERSION = 10  # the first that has all of the opset
_OUTPUTS = ("embedding", "logits")


def save_onnx_graph(quantised: GraphModule, student: Student, folder: Path) -> None:
    """Write `graph.onnx`: input features, outputs embedding and logits, batch of one.

    `student` has the shape of the one that `quantised` was made from. Raises NotImplementedError for an
    operator that no student has.
    """
    translation = _Translation(quantised)
    shapes = (1, student.config.embedding_dim), (1, student.n_logits)
    graph = helper.make_graph(
        translation.nodes(),
        "student",
        [_tensor("features", (1, 1, student.n_mels, student.n_frames))],
        [_tensor(name, shape) for name, shape in zip(_OUTPUTS, shapes, strict=True)],
        translation.constants(),
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    (folder / ONNX_GRAPH).write_bytes(model.SerializeToString(deterministic=True))


def _tensor(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class _Translation:
    """Walks the nodes; `_names` holds the tensor that each has become."""

    def __init__(self, quantised: GraphModule) -> None:
        self._quantised = quantised
        self._names: dict[Node, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        (output,) = (node for node in quantised.graph.nodes if node.op == "output")
        self._ends = dict(zip(output.args[0], _OUTPUTS, strict=True))

    def nodes(self) -> list[onnx.NodeProto]:
        """The operators, in order."""
        for node in self._quantised.graph.nodes:
            if node.op == "placeholder":
                self._names[node] = "features"
            elif node.op == "get_attr":
                self._names[node] = str(node.target)
            elif node.op == "call_function":
                self._call(node)
        return self._nodes

    def constants(self) -> list[onnx.TensorProto]:
        """What the operators read."""
        return list(self._constants.values())

    def _call(self, node: Node) -> None:
        name = node.target.__name__.partition(".")[0]  # type: ignore[union-attr]
        if name not in _RULES:
            raise NotImplementedError(f"{node.target} has no rule here")
        _RULES[name](self, node)

    def add(self, node: Node, kind: str, *inputs: str, **attributes: Any) -> None:
        """An operator that makes the value of `node`."""
        self._names[node] = self._ends.get(node, node.name)
        self._nodes.append(helper.make_node(kind, inputs, [self._names[node]], node.name, **attributes))

    def alias(self, node: Node, name: str) -> None:
        """`node` is a tensor that there is already."""
        self._names[node] = name

    def name(self, node: Any) -> str:
        """The tensor of a node."""
        return self._names[node]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A constant of that name."""
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def read(self, node: Any, dtype: type[np.generic] | None = None) -> str:
        """What a `get_attr` node reads, as a constant."""
        value = attribute(self._quantised, node).numpy()
        return self.constant(str(node.target), value if dtype is None else value.astype(dtype))

    def many(self, node: Node, *kinds: str) -> list[str]:
        """DynamicQuantizeLinear has three outputs, named after `node`."""
        names = [f"{node.name}_{kind}" for kind in kinds]
        source = self.name(node.args[0])
        self._nodes.append(helper.make_node("DynamicQuantizeLinear", [source], names, node.name))
        return names

    def scales(self, node: Any) -> NDArray[np.float32] | None:
        """The constant scales of a node that reads a rounded tensor; None for any other."""
        if not (isinstance(node, Node) and is_call(node, "dequantize")):
            return None
        scale = node.args[1]
        if isinstance(scale, float):
            return np.array([scale], np.float32)
        constant = isinstance(scale, Node) and scale.op == "get_attr"
        return attribute(self._quantised, scale).numpy() if constant else None  # type: ignore[arg-type]

    def bias(self, node: Node) -> tuple[str, ...]:
        """The bias of a weighted operator: int32 where input and weight have grids, else float."""
        bias = node.args[2] if len(node.args) > 2 else None
        if not isinstance(bias, Node):
            return ()
        of_input, of_weight = (self.scales(source) for source in node.args[:2])
        if of_input is None or of_weight is None:
            return (self.read(bias),)
        value = attribute(self._quantised, bias).numpy()
        steps = np.broadcast_to(of_input * of_weight, value.shape)
        whole = self.constant(f"{bias.target}_int32", np.rint(value / steps).astype(np.int32))
        scales = self.constant(f"{bias.target}_steps", steps)
        made = f"{node.name}_bias"
        self._nodes.append(helper.make_node("DequantizeLinear", [whole, scales], [made], made, axis=0))
        return (made,)


def _round(graph: _Translation, node: Node) -> None:
    source, scale = node.args[:2]
    if isinstance(scale, Node):  # chosen for each clip: rounded already where the grid was chosen
        graph.alias(node, graph.name(scale).removesuffix("_scale") + "_steps")
        return
    graph.add(node, "QuantizeLinear", graph.name(source), *_grid(graph, node))


def _read_rounded(graph: _Translation, node: Node) -> None:
    source, scale, zero_point = node.args[:3]
    stored = isinstance(source, Node) and source.op == "get_attr"
    name = graph.read(source) if stored else graph.name(source)
    if isinstance(scale, Node):
        graph.add(node, "DequantizeLinear", name, graph.name(scale), graph.name(zero_point))
    else:
        graph.add(node, "DequantizeLinear", name, *_grid(graph, node))


def _grid(graph: _Translation, node: Node) -> tuple[str, str]:
    scale, zero_point = node.args[1:3]
    return (
        graph.constant(f"{node.name}_scale", np.array(scale, np.float32)),
        graph.constant(f"{node.name}_zero_point", np.array(zero_point, np.int8)),
    )


def _read_channels(graph: _Translation, node: Node) -> None:
    weight, scales, zero_points, axis = node.args[:4]
    inputs = graph.read(weight), graph.read(scales, np.float32), graph.read(zero_points, np.int8)
    graph.add(node, "DequantizeLinear", *inputs, axis=axis)


def _choose_grid(graph: _Translation, node: Node) -> None:
    _steps, scale, zero_point = graph.many(node, "steps", "scale", "zero_point")
    for user in node.users:
        graph.alias(user, (scale, zero_point)[user.args[1]])  # type: ignore[index]


def _weight(graph: _Translation, node: Node) -> str:
    weight = node.args[1]
    assert isinstance(weight, Node)
    return graph.read(weight) if weight.op == "get_attr" else graph.name(weight)


def _conv2d(graph: _Translation, node: Node) -> None:
    arguments: tuple[Any, ...] = node.args
    stride, padding, dilation, groups = (*arguments[3:], *_CONVOLUTION[max(0, len(arguments) - 3) :])
    rows, columns = padding
    inputs = graph.name(node.args[0]), _weight(graph, node), *graph.bias(node)
    graph.add(
        node,
        "Conv",
        *inputs,
        strides=stride,
        pads=[rows, columns, rows, columns],
        dilations=dilation,
        group=groups,
    )


def _linear(graph: _Translation, node: Node) -> None:
    graph.add(node, "Gemm", graph.name(node.args[0]), _weight(graph, node), *graph.bias(node), transB=1)


def _hardtanh(graph: _Translation, node: Node) -> None:
    if _clips_as_much(node):
        graph.alias(node, graph.name(node.args[0]))
        return
    low, high = (
        graph.constant(f"{node.name}_{end}", np.array(value, np.float32))
        for end, value in zip(("low", "high"), node.args[1:3], strict=True)
    )
    graph.add(node, "Clip", graph.name(node.args[0]), low, high)


def _clips_as_much(node: Node) -> bool:
    """Whether the rounding behind it clips as much: ONNX Runtime fuses a convolution only without a Clip."""
    user, *others = node.users
    grid = None if others or not is_call(user, "quantize_per_tensor") else grid_of(user)
    if grid is None:
        return False
    first, last = np.rint(np.array(node.args[1:3], np.float64) / grid.scale) + grid.zero_point
    return bool(first <= grid.low and last >= grid.high)


def _mean(graph: _Translation, node: Node) -> None:
    axes = graph.constant(f"{node.name}_axes", np.array(node.args[1], np.int64))
    graph.add(node, "ReduceMean", graph.name(node.args[0]), axes, keepdims=int(bool(node.args[2])))


def _pad(graph: _Translation, node: Node) -> None:
    sides: Any = node.args[1]
    left, right, *more = sides
    top, bottom = more or (0, 0)
    widths = graph.constant(f"{node.name}_widths", np.array([0, 0, top, left, 0, 0, bottom, right]))
    graph.add(node, "Pad", graph.name(node.args[0]), widths)


def _flatten(graph: _Translation, node: Node) -> None:
    graph.add(node, "Flatten", graph.name(node.args[0]), axis=node.args[1])


def _sum(graph: _Translation, node: Node) -> None:
    graph.add(node, "Add", graph.name(node.args[0]), graph.name(node.args[1]))


def _product(graph: _Translation, node: Node) -> None:
    graph.add(node, "MatMul", graph.name(node.args[0]), graph.name(node.args[1]))


def _softmax(graph: _Translation, node: Node) -> None:
    graph.add(node, "Softmax", graph.name(node.args[0]), axis=node.args[1])


def _reshape(graph: _Translation, node: Node) -> None:
    shape = graph.constant(f"{node.name}_shape", np.array(node.args[1], np.int64))
    graph.add(node, "Reshape", graph.name(node.args[0]), shape)


def _transpose(graph: _Translation, node: Node) -> None:
    axes = list(range(node.meta["val"].dim()))
    one, other = node.args[1:3]
    axes[one], axes[other] = axes[other], axes[one]  # type: ignore[index]
    graph.add(node, "Transpose", graph.name(node.args[0]), perm=axes)


def _pass_on(graph: _Translation, node: Node) -> None:
    graph.alias(node, graph.name(node.args[0]))


_CONVOLUTION: tuple[Any, ...] = ([1, 1], [0, 0], [1, 1], 1)  # stride, padding, dilation, groups
_RULES: Mapping[str, Callable[[_Translation, Node], None]] = {
    "quantize_per_tensor": _round,
    "dequantize_per_tensor": _read_rounded,
    "dequantize_per_channel": _read_channels,
    "choose_qparams": _choose_grid,
    "getitem": lambda _graph, _node: None,  # named where the grid is chosen
    "conv2d": _conv2d,
    "linear": _linear,
    "hardtanh": _hardtanh,
    "mean": _mean,
    "pad": _pad,
    "flatten": _flatten,
    "add": _sum,
    "bmm": _product,
    "softmax": _softmax,
    "reshape": _reshape,
    "transpose": _transpose,
    "dropout": _pass_on,
}
