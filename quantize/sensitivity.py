"""Sensitivity: what INT8 does in each layer on real clips, and what one layer left in float gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from acula_edge.evidence.fidelity import FloatEffect, LayerFidelity, WeightScales
from quantize.layers import (
    Grid,
    Layer,
    Walk,
    float_weights,
    input_rounding,
    is_dynamic,
    layers_of,
    weight_scales,
)
from quantize.tflite_layers import TfliteGraph

Values = NDArray[np.float64]
Score = Callable[[NDArray[np.float32]], float | None]  # logits (n, K) of all clips -> mean AUROC

_BATCH = 8  # clips whose every value is held at once
_OCTAVES = 8


@dataclass
class Tally:
    """Sums over the values of one layer, clip by clip: float values `a`, INT8 values `b`."""

    signal: float = 0.0
    other: float = 0.0
    product: float = 0.0
    error: float = 0.0
    alone: float = 0.0
    clipped: int = 0
    count: int = 0

    def add(self, one: Values, other: Values, grid: Grid | None) -> None:
        """Take in float values and INT8 values of the same shape."""
        self.signal += float(np.square(one).sum())
        self.other += float(np.square(other).sum())
        self.product += float((one * other).sum())
        self.error += float(np.square(one - other).sum())
        self.count += one.size
        if grid is not None:
            low, high = grid.ends
            self.clipped += int(((one < low) | (one > high)).sum())

    def fidelity(self, layer: Layer, grid: Grid | None, scales: Values, alone: bool) -> LayerFidelity:
        """The figures of the layer; `alone` says that its own error was measured."""
        lengths = np.sqrt(self.signal * self.other)
        return LayerFidelity(
            layer=layer.name,
            kind=layer.kind,
            scale=grid.scale if grid else None,
            zero_point=grid.zero_point if grid else None,
            sqnr_db=decibels(self.signal, self.error),
            alone_db=decibels(self.signal, self.alone) if alone else None,
            cosine=float(self.product / lengths) if lengths > 0 else None,
            saturated=self.clipped / self.count,
            weight_scales=spread_of(scales),
        )


def decibels(signal: float, error: float) -> float | None:
    """10 log10(signal / error), of powers; None where one of them is 0."""
    return float(10 * np.log10(signal / error)) if signal > 0 and error > 0 else None


def spread_of(scales: Values) -> WeightScales | None:
    """How the scales (channels,) of a layer's weights are spread; None without any."""
    if not scales.size or scales.min() <= 0:
        return None
    octave = np.minimum(np.floor(np.log2(scales.max() / scales)), _OCTAVES - 1).astype(int)
    return WeightScales(
        smallest=float(scales.min()),
        median=float(np.median(scales)),
        largest=float(scales.max()),
        octaves=tuple(np.bincount(octave, minlength=_OCTAVES).tolist()),
    )


@dataclass(frozen=True)
class Scan:
    """The layers of the PT2E graph, in order, and the effect of leaving each weighted one in float."""

    layers: tuple[LayerFidelity, ...]
    effects: tuple[FloatEffect, ...]


def scan_graph(quantised: GraphModule, student: nn.Module, features: Tensor, score: Score) -> Scan:
    """Walk the PT2E graph on features (n, 1, n_mels, n_frames); `score` rates logits of all of them."""
    layers = layers_of(quantised)
    weights = float_weights(student, layers)
    weighted = [layer for layer in layers if layer.weight]
    tallies = [Tally() for _ in layers]
    ends: list[list[tuple[Tensor, Tensor]]] = []  # for each batch: float, INT8, then one layer in float each
    for batch in torch.split(features, 1 if is_dynamic(quantised) else _BATCH):
        floating = Walk(quantised, weights, everything=True).values(batch)
        integer = Walk(quantised, weights).values(batch)
        _tally(tallies, layers, Walk(quantised, weights), floating, integer)
        ends.append([_outputs(floating), _outputs(integer)])
        for layer in weighted:
            before = _before(quantised, layer, integer)
            ends[-1].append(_outputs(Walk(quantised, weights, {layer.name}).values(batch, before)))
    scales = [weight_scales(quantised, layer) for layer in layers]
    return Scan(
        tuple(t.fidelity(i, i.grid, s, True) for t, i, s in zip(tallies, layers, scales, strict=True)),
        _effects([layer.name for layer in weighted], ends, score),
    )


def _tally(
    tallies: Sequence[Tally],
    layers: Sequence[Layer],
    walk: Walk,
    floating: dict[Node, Any],
    integer: dict[Node, Any],
) -> None:
    for tally, layer in zip(tallies, layers, strict=True):
        one, other, alone = (
            found.numpy().astype(np.float64)
            for found in (floating[layer.value], integer[layer.value], walk.alone(layer, floating))
        )
        tally.add(one, other, layer.grid)
        tally.alone += float(np.square(one - alone).sum())


def _outputs(values: dict[Node, Any]) -> tuple[Tensor, Tensor]:
    output = next(value for node, value in values.items() if node.op == "output")
    embedding, logits = output
    return embedding, logits


def _before(graph: GraphModule, layer: Layer, values: dict[Node, Any]) -> dict[Node, Any]:
    """What was computed before a layer, its own weight and the rounding of its input left out."""
    own, kept = (layer.weight, *input_rounding(layer)), dict[Node, Any]()
    for node in graph.graph.nodes:
        if node is layer.op:
            return kept
        if node not in own:
            kept[node] = values[node]
    raise AssertionError("the layer is one of the graph")


def _effects(
    names: Sequence[str], ends: Sequence[Sequence[tuple[Tensor, Tensor]]], score: Score
) -> tuple[FloatEffect, ...]:
    runs = [
        tuple(torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
        for batches in zip(*ends, strict=True)
    ]
    (floating, _), (embedding, logits), *alternatives = runs
    error, base = float(np.square(embedding - floating).sum()), score(logits)
    found = []
    for name, (other, other_logits) in zip(names, alternatives, strict=True):
        rated = score(other_logits)
        gain = rated - base if rated is not None and base is not None else None
        left = float(np.square(other - floating).sum())
        found.append(FloatEffect(layer=name, auroc=gain, error=1 - left / error if error > 0 else 0.0))
    return tuple(found)


def scan_tflite(
    float_file: Path, file: Path, layers: Sequence[Layer], features: NDArray[np.float32]
) -> tuple[LayerFidelity, ...]:
    """Compare each layer of an INT8 .tflite with the float one, by reference kernels, clip by clip.

    `layers` are those of the PT2E graph, which name them: both come from the same student, in one order.
    """
    floating, integer = TfliteGraph(float_file), TfliteGraph(file)
    tallies = [Tally() for _ in layers]
    for index in range(len(features)):
        for graph in (floating, integer):
            graph.run(features[index : index + 1])
        for tally, one, other in zip(tallies, floating.layers, integer.layers, strict=True):
            before, after = (
                graph.real(layer.output).astype(np.float64)
                for graph, layer in ((floating, one), (integer, other))
            )
            tally.add(before, after, other.grid)
    return tuple(
        tally.fidelity(layer, found.grid, found.weight_scales.astype(np.float64), alone=False)
        for tally, layer, found in zip(tallies, layers, integer.layers, strict=True)
    )
