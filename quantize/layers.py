"""Layers of a quantised PT2E graph: walked one by one, each in INT8 or, where it is asked, in float."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

_ATEN = torch.ops.aten
_KINDS: Mapping[Any, str] = {
    _ATEN.conv2d.default: "conv",
    _ATEN.linear.default: "linear",
    _ATEN.mean.dim: "mean",
    _ATEN.add.Tensor: "add",
    _ATEN.bmm.default: "product",
    _ATEN.softmax.int: "softmax",
}
_WEIGHTED = ("conv", "linear")
# What belongs to the layer before it: an activation, and the shape that a product takes to be rounded.
_FOLLOWING = {
    "product": (_ATEN.reshape.default,),
    "conv": (_ATEN.hardtanh.default, _ATEN.relu.default),
}


@dataclass(frozen=True)
class Grid:
    """An INT8 grid: real = scale * (q - zero_point), q from `low` to `high`."""

    scale: float
    zero_point: int
    low: int
    high: int

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest real value that it holds without clipping."""
        half = self.scale / 2
        return (
            self.scale * (self.low - self.zero_point) - half,
            self.scale * (self.high - self.zero_point) + half,
        )


@dataclass(frozen=True)
class Layer:
    """One operator with its activation, as the float student names its module.

    `nodes` are operator, activation (of a product, its map's shape), rounding and what later layers read, as
    far as it has them; `grid` is that of its output and `weight` the node of its quantised weight, each None
    where it stays float.
    """

    name: str
    kind: str
    nodes: tuple[Node, ...]
    grid: Grid | None
    weight: Node | None

    @property
    def op(self) -> Node:
        """The operator."""
        return self.nodes[0]

    @property
    def value(self) -> Node:
        """What later layers read: real values, on the grid if there is one."""
        return self.nodes[-1]


def layers_of(quantised: GraphModule) -> tuple[Layer, ...]:
    """Convolutions, linear layers, means, additions, and attention's products, in the order of their run."""
    return tuple(_layer(node) for node in quantised.graph.nodes if node.target in _KINDS)


def _layer(node: Node) -> Layer:
    kind, grid = _KINDS[node.target], None
    nodes = _activated(node, kind)
    rounding = next((user for user in nodes[-1].users if is_call(user, "quantize_per_tensor")), None)
    if rounding is not None and not _is_dynamic(rounding):
        grid = grid_of(rounding)
        nodes += [rounding, next(iter(rounding.users))]
    return Layer(_name(node, kind), kind, tuple(nodes), grid, _quantised_weight(node, kind))


def _quantised_weight(node: Node, kind: str) -> Node | None:
    weight = node.args[1] if kind in _WEIGHTED else None
    return weight if isinstance(weight, Node) and is_call(weight, "dequantize") else None


def grid_of(rounding: Node) -> Grid | None:
    """The grid of a node that quantises a tensor as a whole; None if each clip gets another one."""
    if _is_dynamic(rounding):
        return None
    scale, zero_point, low, high = rounding.args[1:5]
    return Grid(float(scale), int(zero_point), int(low), int(high))  # type: ignore[arg-type]


def _is_dynamic(rounding: Node) -> bool:
    """Whether the scale of a node that rounds, or reads a rounding, is computed from the tensor itself."""
    return isinstance(rounding.args[1], Node)


def is_dynamic(quantised: GraphModule) -> bool:
    """Whether a graph chooses ranges anew for each run, and so must be run clip by clip."""
    return any(is_call(node, "choose_qparams") for node in quantised.graph.nodes)


def input_rounding(layer: Layer) -> tuple[Node, ...]:
    """The nodes that choose a range for this layer's input and round it; none where ranges are fixed."""
    source = layer.op.all_input_nodes[0]
    if not is_call(source, "dequantize_per_tensor") or not _is_dynamic(source):
        return ()
    rounding, scale, zero_point = source.all_input_nodes
    return scale.all_input_nodes[0], scale, zero_point, rounding, source


def _activated(node: Node, kind: str) -> list[Node]:
    user = next(iter(node.users))
    return [node, user] if len(node.users) == 1 and user.target in _FOLLOWING.get(kind, ()) else [node]


def _name(node: Node, kind: str) -> str:
    """The module that a person would leave float: a convolution's is the one that holds its ReLU6 too."""
    stack = list(node.meta["nn_module_stack"].values())
    path = str(stack[-1][0]).removeprefix("L['self'].")
    if kind == "conv":
        return path.rpartition(".")[0]
    return path if kind == "linear" else f"{path} {kind}".strip()


def is_call(node: Node, name: str) -> bool:
    """Whether a node calls an operator whose name begins so."""
    return node.op == "call_function" and str(node.target).partition(".")[2].startswith(name)


def attribute(graph: GraphModule, node: Node) -> Tensor:
    """The tensor that a `get_attr` node reads."""
    found: object = graph
    for part in str(node.target).split("."):
        found = getattr(found, part)
    assert isinstance(found, Tensor)
    return found.detach()


def weight_scales(graph: GraphModule, layer: Layer) -> NDArray[np.float64]:
    """Scales of a layer's quantised weight: of each output channel, or (1,) of all; empty if it is float."""
    if layer.weight is None:
        return np.empty(0)
    _, *numbers = layer.weight.all_input_nodes  # without any, the weight has one scale, which is a constant
    if not numbers:
        return np.array([layer.weight.args[1]], dtype=np.float64)
    return np.asarray(attribute(graph, numbers[0]).numpy().astype(np.float64))


class Walk(Interpreter):
    """Runs a quantised graph and keeps every value; `floats` names layers that run in float.

    `weights` holds their float weights, as `float_weights` gives them. With `everything` the whole graph
    is the float network: nothing is rounded, the input neither.
    """

    def __init__(
        self,
        graph: GraphModule,
        weights: Mapping[str, Tensor],
        floats: Collection[str] = (),
        everything: bool = False,
    ) -> None:
        super().__init__(graph, garbage_collect_values=False)
        chosen = [layer for layer in layers_of(graph) if everything or layer.name in floats]
        self._weights = {layer.weight: weights[layer.name] for layer in chosen if layer.weight}
        self._unrounded = {layer.value.all_input_nodes[0] for layer in chosen if layer.grid}
        self._unrounded |= {own[-2] for layer in chosen if (own := input_rounding(layer))}
        self._everything = everything

    def values(self, features: Tensor, known: Mapping[Node, Any] | None = None) -> dict[Node, Any]:
        """The value of every node for features (n, 1, n_mels, n_frames); those in `known` are taken over."""
        with torch.no_grad():
            self.run(features, initial_env=dict(known or {}))
        return dict(self.env)

    def alone(self, layer: Layer, values: Mapping[Node, Any]) -> Tensor:
        """What one layer gives for the inputs that it has in `values`."""
        self.env = dict(values)
        with torch.no_grad():
            for node in (*input_rounding(layer), layer.weight, *layer.nodes):
                if node is not None:
                    self.env[node] = self.run_node(node)
        found: Tensor = self.env[layer.value]
        return found

    def run_node(self, n: Node) -> Any:
        """A weight or a rounding of a float layer is left out; all else runs as it is."""
        if n in self._weights:
            return self._weights[n]
        if is_call(n, "dequantize_per_tensor"):
            rounding = n.all_input_nodes[0]
            if self._everything or rounding in self._unrounded:
                return self.env[rounding.all_input_nodes[0]]
        return super().run_node(n)


def float_weights(student: nn.Module, layers: Collection[Layer]) -> dict[str, Tensor]:
    """The float weight of each convolution (batch normalisation folded in) and linear layer, by name."""
    found = {}
    for layer in layers:
        if layer.kind == "linear":
            weight = student.get_submodule(layer.name).weight
            assert isinstance(weight, Tensor)
            found[layer.name] = weight.detach()
        elif layer.kind == "conv":
            found[layer.name] = _folded(student.get_submodule(layer.name))
    return found


def _folded(block: nn.Module) -> Tensor:
    (convolution,) = (module for module in block.modules() if isinstance(module, nn.Conv2d))
    (norm,) = (module for module in block.modules() if isinstance(module, nn.BatchNorm2d))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, _ = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    return weight.detach()
