"""Overflow: an integer kernel holds a bias as an int32 in steps of input scale times weight scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.fx import GraphModule

from acula_edge.errors import GateError
from quantize.forcing import stored
from quantize.layers import Layer, layers_of
from quantize.tflite_layers import TfliteGraph

Bias = tuple[str, NDArray[np.float64], NDArray[np.float64]]  # layer, real values and steps (channels,)

_INT32_MAX = float(np.iinfo(np.int32).max)


def require_biases(file: str, biases: Iterable[Bias]) -> None:
    """GateError that names the layers of `file` whose bias no int32 can hold."""
    beyond = {
        name: int(np.argmax(np.abs(bias) / steps))
        for name, bias, steps in biases
        if (np.abs(bias) > _INT32_MAX * steps).any()
    }
    if beyond:
        parts = ", ".join(f"{name} (channel {channel})" for name, channel in beyond.items())
        raise GateError(
            f"{file}: the bias of {parts} is beyond an int32 in steps of input scale times weight scale; "
            f'leave the layer float: quantize.scheme.float_modules = ["{next(iter(beyond))}"]'
        )


def graph_biases(quantised: GraphModule) -> Iterator[Bias]:
    """Name, bias and steps of each layer of a PT2E graph whose weight and input are quantised."""
    for layer in layers_of(quantised):
        if layer.weight is None:
            continue
        numbers = stored(quantised, layer)
        if numbers.bias is not None and numbers.bias_steps is not None:
            yield layer.name, numbers.bias, numbers.bias_steps


def tflite_biases(float_file: Path, file: Path, layers: Sequence[Layer]) -> Iterator[Bias]:
    """The same of a .tflite: biases of the float file, steps of the INT8 one; `layers` name them."""
    floating, integer = TfliteGraph(float_file), TfliteGraph(file)
    for layer, one, other in zip(layers, floating.layers, integer.layers, strict=True):
        grid = integer.grid(other.source)
        if one.bias is None or grid is None or not other.weight_scales.size:
            continue
        if floating.grid(one.bias) is None:
            steps = other.weight_scales.astype(np.float64) * grid.scale
            yield layer.name, floating.raw(one.bias).astype(np.float64), steps
