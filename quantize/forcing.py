"""Forcing: a quantised graph on one clip, each layer given inputs that come from somewhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from acula_edge.runtime.runner import Outputs
from acula_edge.students.student import Student
from quantize.layers import (
    Grid,
    Layer,
    Walk,
    attribute,
    float_weights,
    grid_of,
    is_call,
    layers_of,
    weight_scales,
)


@dataclass(frozen=True)
class Stored:
    """The numbers of a layer: INT8 weight (channels, n), inputs last, its scales and bias (channels,).

    `bias_steps` (channels,) is the step of an int32 bias: input scale times weight scale; None where the
    input has no grid.
    """

    weight: NDArray[np.int8]
    scales: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    bias_steps: NDArray[np.float64] | None


class Forced:
    """The graph, the float `student` it was made from, and features (1, 1, n_mels, n_frames) of a clip."""

    def __init__(self, quantised: GraphModule, student: Student, features: Tensor) -> None:
        self.graph, self.student, self._features = quantised, student, features
        self.layers = layers_of(quantised)
        self._weights = float_weights(student, self.layers)
        self._values = Walk(quantised, self._weights).values(features)
        self.shapes = {layer.name: tuple(self._values[layer.value].shape) for layer in self.layers}
        (source,) = (node for node in quantised.graph.nodes if node.op == "placeholder")
        self._rounding = next((user for user in source.users if is_call(user, "quantize_per_tensor")), None)

    @property
    def input_grid(self) -> Grid | None:
        """The grid of the features; None where they stay float."""
        return grid_of(self._rounding) if self._rounding else None

    def heard(self) -> Tensor:
        """The features as the first layer gets them."""
        return self._values[next(iter(self._rounding.users))] if self._rounding else self._features

    def outputs(self) -> Outputs:
        """Embedding (1, E) and logits (1, K) of the INT8 graph."""
        embedding, logits = next(value for node, value in self._values.items() if node.op == "output")
        return Outputs(embedding.numpy(), logits.numpy())

    def eager(self, student: Student) -> dict[str, Tensor]:
        """What each module of a student of this shape gives, by the layer's name."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
                found[name] = output

            return hook

        hooks = [_module(student, layer).register_forward_hook(keep(layer.name)) for layer in self.layers]
        with torch.no_grad():
            student(self._features)
        for handle in hooks:
            handle.remove()
        return {name: value.reshape(self.shapes[name]) for name, value in found.items()}

    def alone(self, values: Mapping[str, Tensor], source: Tensor | None = None) -> dict[str, Tensor]:
        """Each layer's INT8 output where those before it gave `values`, and the features are `source`."""
        known: dict[Node, Tensor] = {}
        for layer in self.layers:
            known |= dict.fromkeys(_read(layer.value), values[layer.name])
        if source is not None and self._rounding is not None:
            known |= dict.fromkeys(self._rounding.users, source)
        everything = Walk(self.graph, self._weights, everything=True).values(self._features, known)
        walk = Walk(self.graph, self._weights)
        return {layer.name: walk.alone(layer, everything) for layer in self.layers}


def _module(student: Student, layer: Layer) -> nn.Module:
    """The module whose output is the layer's; the mean is what dropout passes on."""
    if layer.kind == "mean":
        return student.dropout
    return student.get_submodule(layer.name.removesuffix(f" {layer.kind}"))


def stored(graph: GraphModule, layer: Layer) -> Stored:
    """The numbers of a layer whose weight is quantised."""
    assert layer.weight is not None
    weight = attribute(graph, layer.weight.all_input_nodes[0])
    source = layer.op.all_input_nodes[0]
    grid = grid_of(source.all_input_nodes[0]) if is_call(source, "dequantize_per_tensor") else None
    wide = np.broadcast_to(weight_scales(graph, layer), (len(weight),))
    bias = layer.op.args[2] if len(layer.op.args) > 2 else None
    last = weight.permute(0, 2, 3, 1) if weight.dim() == 4 else weight
    return Stored(
        weight=last.reshape(len(wide), -1).numpy(),
        scales=wide,
        bias=attribute(graph, bias).numpy().astype(np.float64) if isinstance(bias, Node) else None,
        bias_steps=wide * grid.scale if grid else None,
    )


def as_shaped(value: NDArray[np.float32], shape: tuple[int, ...]) -> Tensor:
    """A value with its channels last, where it is a map, in the graph's shape with them first."""
    tensor = torch.from_numpy(np.ascontiguousarray(value))
    return (tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 else tensor).reshape(shape)


def _read(value: Node) -> list[Node]:
    """All nodes that read what `value` reads: a rounded tensor is read once for each of its users."""
    return list(value.all_input_nodes[0].users) if is_call(value, "dequantize_per_tensor") else [value]
