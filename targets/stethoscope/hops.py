"""Hops: a causal network as the firmware runs it while the sound comes in, a few frames at a time.

A convolution of kernel k and stride s over frames needs the k - s frames before its new ones. They stay in
memory from hop to hop, right before the place of the new ones, so that both are one map. Maps are turned for
this, (frames, mels, channels): the newest frames are the last bytes. A network that looks ahead runs once
for the whole clip, on maps (mels, frames, channels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from targets.stethoscope.network import (
    Addition,
    Convolution,
    Depthwise,
    Layer,
    Network,
    Value,
    Window,
)


@dataclass(frozen=True)
class Hops:
    """The network of one hop of `frames` frames, run `count` times for a clip.

    `past` holds for values by name how many of their newest rows the next hop still needs. `turned`: maps
    are (frames, mels, channels).
    """

    network: Network
    frames: int
    count: int
    past: Mapping[str, int]
    turned: bool


def whole_clip(network: Network) -> Hops:
    """One hop: the whole clip."""
    return Hops(network, network.features.shape[1], 1, {}, False)


def hops_of(network: Network) -> Hops:
    """Hop by hop if the network never looks ahead, else the whole clip at once."""
    convolutions = [layer for layer in network.layers if isinstance(layer, Convolution | Depthwise)]
    strides = _strides(network)
    frames = max(strides.values())
    count = network.features.shape[1] // frames
    if count < 1 or not all(_causal(layer) for layer in convolutions):
        return whole_clip(network)
    past: dict[str, int] = {}
    for layer in convolutions:
        rows = past_rows(layer.window.kernel[1], layer.window.stride[1])
        past[layer.source.name] = max(rows, past.get(layer.source.name, 0))
    rows_of = {name: frames // stride for name, stride in strides.items()}
    turned = Network(
        tuple(_turned_layer(layer, rows_of) for layer in network.layers),
        _turned(network.features, rows_of),
        network.embedding,
        network.logits,
    )
    return Hops(turned, frames, count, {name: rows for name, rows in past.items() if rows}, True)


def past_rows(kernel: int, stride: int) -> int:
    """Frames before the new ones that a causal convolution reads."""
    return max(0, kernel - stride)


def _causal(layer: Convolution | Depthwise) -> bool:
    """Silence before the first frame, as long as the past is, and nothing behind the last."""
    kernel, stride = layer.window.kernel[1], layer.window.stride[1]
    before = layer.window.before[1]
    frames = (layer.source.shape[1] + before - kernel) // stride + 1
    return before == past_rows(kernel, stride) and frames == layer.result.shape[1]


def _strides(network: Network) -> dict[str, int]:
    """Frames of the features for one frame of each map."""
    strides = {network.features.name: 1}
    for layer in network.layers:
        before = strides.get(layer.source.name)
        if before is not None and isinstance(layer, Convolution | Depthwise):
            strides[layer.result.name] = before * layer.window.stride[1]
        elif before is not None and isinstance(layer, Addition):
            strides[layer.result.name] = before
    return strides


def _turned(value: Value, rows_of: Mapping[str, int]) -> Value:
    """(mels, frames, channels) as (new frames, mels, channels); a vector stays as it is."""
    if value.name not in rows_of:
        return value
    return replace(value, shape=(rows_of[value.name], value.shape[0], value.shape[2]))


def _turned_layer(layer: Layer, rows_of: Mapping[str, int]) -> Layer:
    source, result = _turned(layer.source, rows_of), _turned(layer.result, rows_of)
    if isinstance(layer, Addition):
        other = _turned(layer.other, rows_of) if isinstance(layer.other, Value) else layer.other
        return replace(layer, source=source, result=result, other=other)
    if not isinstance(layer, Convolution | Depthwise):
        return replace(layer, source=source, result=result)
    old = layer.window
    past = past_rows(old.kernel[1], old.stride[1])
    axes = (0, 2, 1, 3) if isinstance(layer, Convolution) else (1, 0, 2)
    return replace(
        layer,
        source=replace(source, shape=(source.shape[0] + past, *source.shape[1:])),
        result=result,
        # The rows before the new ones are past ones, which lie in memory: nothing is padded there.
        window=Window((old.kernel[1], old.kernel[0]), (old.stride[1], old.stride[0]), (0, old.before[0])),
        weights=np.ascontiguousarray(layer.weights.transpose(axes)),
    )
