"""Bisect: from the eager student to the files of a bundle, the first hop and layer that differ too much.

Each hop compares two neighbours layer by layer, and gives a layer the inputs that it had on the side that is
examined: what a layer before it did wrong does not reach it. A .pte runs as one delegate, which shows
nothing of its inside; there the numbers that it holds are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.errors import ArtifactError
from acula_edge.frontend import log_mel
from acula_edge.runtime.runner import open_runner
from acula_edge.students.store import load_student
from acula_edge.students.student import Student
from quantize.forcing import Forced, Stored, as_shaped, stored
from quantize.graph_file import GRAPH, load_graph
from quantize.layers import Layer
from quantize.onnx_layers import run_onnx
from quantize.parity import cosines
from quantize.pte_layers import PteLayer, read_pte
from quantize.tflite_layers import TfliteGraph, TfliteLayer

Floats = NDArray[np.float32]

_FLOAT_BOUND = 1e-4  # of the largest value, or of 1: two float kernels
_NOISE_BOUND = 0.1  # rms of a layer's error over that of its signal: 20 dB; a sound layer has 35 to 40
_STEPS_BOUND = 2.0  # INT8 steps: rounding of the sum, of the rounded bias, and of a tie
_STORED_BOUND = 1e-4  # relative; INT8 weights are equal or not
_UNPRINTED = 6e-7  # the compiler of flatbuffers prints a scale of a .pte with six decimals
_COSINE_BOUND = 0.01  # 1 - cosine of embeddings, as the parity gate has it


@dataclass(frozen=True)
class Difference:
    """One layer of a hop: how far it is off, in what, and how far it may be."""

    layer: str
    measure: str
    value: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether it keeps the bound; NaN does not."""
        return self.value <= self.bound


@dataclass(frozen=True)
class Hop:
    """From one form of the model to the next; `reason` is why it could not be compared at all."""

    name: str
    layers: tuple[Difference, ...]
    reason: str = ""

    @property
    def culprit(self) -> Difference | None:
        """The first layer that misses its bound."""
        return next((layer for layer in self.layers if not layer.passed), None)

    @property
    def passed(self) -> bool:
        """Whether it was compared and every layer keeps its bound."""
        return not self.reason and self.culprit is None

    @property
    def shown(self) -> Difference | None:
        """The culprit or, of a sound hop, the layer nearest to its bound."""
        nearest = max(self.layers, key=lambda layer: layer.value / layer.bound, default=None)
        return self.culprit or nearest

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        culprit = self.culprit
        return {
            "hop": self.name,
            "passed": self.passed,
            "first": culprit.layer if culprit else None,
            "reason": self.reason,
            "layers": [{**asdict(layer), "passed": layer.passed} for layer in self.layers],
        }


@dataclass(frozen=True)
class _Scene:
    """What all hops share: the bundle, its float student and INT8 graph, and one clip in both forms."""

    bundle: Artifact
    student: Student
    forced: Forced
    pcm: NDArray[np.int16]
    features: Floats

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.forced.layers


def bisect(bundle: Artifact, pcm: NDArray[np.int16]) -> list[Hop]:
    """Every hop of a bundle on one clip, PCM int16 (1, clip_samples).

    Raises ArtifactError if the bundle lacks a file, or its student or INT8 graph can not be read.
    """
    student = load_student(bundle)
    quantised = load_graph(student, bundle.file(GRAPH))
    features = np.ascontiguousarray(log_mel(pcm, AudioContract.of(bundle.manifest.contract))[:, None])
    forced = Forced(quantised, student, torch.from_numpy(features))
    scene = _Scene(bundle, student, forced, pcm, features)
    # A target that does not take a file has no hop that leads to it.
    return [
        _hop(name, compare, scene)
        for (name, files), compare in _HOPS.items()
        if all(bundle.has(file) for file in files)
    ]


def first_fault(hops: Sequence[Hop]) -> Hop | None:
    """The first hop that failed."""
    return next((hop for hop in hops if not hop.passed), None)


def _hop(name: str, compare: Callable[[_Scene], Iterator[Difference]], scene: _Scene) -> Hop:
    try:
        return Hop(name, tuple(compare(scene)))
    except ArtifactError as error:
        return Hop(name, (), str(error))


def _exported(scene: _Scene) -> Iterator[Difference]:
    eager, exported = scene.forced.eager(), _onnx(scene)
    for layer in scene.layers:
        one, other = eager[layer.name], exported[layer.name]
        error = float((one - other).abs().max()) / max(1.0, float(one.abs().max()))
        yield Difference(layer.name, "largest error", error, _FLOAT_BOUND)


def _quantised(scene: _Scene) -> Iterator[Difference]:
    exported = _onnx(scene)
    heard = scene.forced.alone(exported)
    for layer in scene.layers:
        signal, floor = exported[layer.name], layer.grid.scale if layer.grid else 1e-6
        value = _noise(heard[layer.name] - signal, signal, floor)
        yield Difference(layer.name, "noise over signal", value, _NOISE_BOUND)


def _onnx(scene: _Scene) -> dict[str, Tensor]:
    found = run_onnx(scene.bundle.file("model.onnx"), scene.features)
    _require_kinds([kind for kind, _ in found], scene.layers, "model.onnx")
    return {
        layer.name: torch.from_numpy(value).reshape(scene.forced.shapes[layer.name])
        for layer, (_, value) in zip(scene.layers, found, strict=True)
    }


def _lowered_pte(scene: _Scene) -> Iterator[Difference]:
    yield from _stored(scene, "model.pte")
    yield _ended(scene, "model.pte", scene.features, *scene.forced.outputs())


def _pcm_pte(scene: _Scene) -> Iterator[Difference]:
    yield from _stored(scene, "model_pcm.pte")
    before = open_runner(scene.bundle.file("model.pte")).run(scene.features)
    yield _ended(scene, "model_pcm.pte", scene.pcm, before.embedding, before.logits, "front end")


def _stored(scene: _Scene, name: str) -> Iterator[Difference]:
    found = read_pte(scene.bundle.file(name))[-len(scene.layers) :]  # a front end's layers come first
    _require_kinds([layer.kind for layer in found], scene.layers, name)
    for layer, held in zip(scene.layers, found, strict=True):
        yield Difference(layer.name, "stored numbers", _unlike(scene, layer, held), _STORED_BOUND)


def _unlike(scene: _Scene, layer: Layer, held: PteLayer) -> float:
    """Relative difference of scales, grid and bias; where INT8 weights differ, at least 1."""
    found = [0.0]
    if layer.grid and held.scale is not None and held.zero_point is not None:
        found += [_apart(held.scale, layer.grid.scale), abs(held.zero_point - layer.grid.zero_point)]
    if layer.weight is not None and held.weight is not None and held.weight_scales is not None:
        own = stored(scene.forced.graph, layer)
        found.append(float(np.max(_apart(held.weight_scales, own.scales))))
        found.append(float(np.abs(own.weight.astype(int) - held.weight.astype(int)).max()))
        if held.bias is not None and own.bias is not None and own.bias_steps is not None:
            # An int32 bias is rounded to its step, which printed scales tell inexactly; what is left over is
            # compared with the weights' range.
            blurred = np.abs(own.bias) * _UNPRINTED * _printed(own)
            beyond = np.maximum(np.abs(held.bias - own.bias) - 1.01 * own.bias_steps - blurred, 0)
            found.append(float((beyond / (127 * own.bias_steps)).max()))
    return max(found)


def _printed(own: Stored) -> NDArray[np.float64]:
    """Sum of 1 / scale over the printed scales of a bias's step; those of single channels are in a table."""
    assert own.bias_steps is not None
    one_scale = float(np.ptp(own.scales)) == 0
    return np.asarray(own.scales / own.bias_steps + (1 / own.scales if one_scale else 0.0))


def _apart(held: Any, own: Any) -> Any:
    """Relative difference of scales, beyond what their printing hides."""
    return np.maximum(np.abs(held - own) - _UNPRINTED, 0) / own


def _ended(
    scene: _Scene, name: str, batch: NDArray[Any], embedding: Floats, logits: Floats, layer: str = "outputs"
) -> Difference:
    found = open_runner(scene.bundle.file(name)).run(batch)
    pairs = ((embedding, found.embedding), (logits, found.logits))
    worst = max(1 - float(cosines(one, other)[0]) for one, other in pairs)
    return Difference(layer, "1 - cosine of the outputs", worst, _COSINE_BOUND)


def _lowered_tflite(scene: _Scene) -> Iterator[Difference]:
    yield from _tflite(scene, "model.tflite", scene.features)


def _pcm_tflite(scene: _Scene) -> Iterator[Difference]:
    yield from _tflite(scene, "model_pcm.tflite", scene.pcm)


def _tflite(scene: _Scene, name: str, batch: NDArray[Any]) -> Iterator[Difference]:
    """Each layer of the file against the same layer of the graph, both with the file's inputs."""
    graph = TfliteGraph(scene.bundle.file(name))
    graph.run(batch)
    found = graph.layers[-len(scene.layers) :]  # a front end's layers come first
    _require_kinds([layer.kind for layer in found], scene.layers, name)
    heard = graph.features(found[0], scene.features.size)
    source = torch.from_numpy(graph.real(heard)).reshape(scene.features.shape)
    if scene.forced.input_grid is not None:
        steps = float((source - scene.forced.heard()).abs().max()) / scene.forced.input_grid.scale
        yield Difference("front end", "INT8 steps", steps, _STEPS_BOUND)
    values = {
        layer.name: as_shaped(_read(graph, layer, one), scene.forced.shapes[layer.name])
        for layer, one in zip(scene.layers, found, strict=True)
    }
    expected = scene.forced.alone(values, source)
    for layer, one in zip(scene.layers, found, strict=True):
        yield _off(layer, one, values[layer.name], expected[layer.name])


def _read(graph: TfliteGraph, layer: Layer, one: TfliteLayer) -> Floats:
    """A layer's output as the next layer gets it: a float one may be rounded on its way there."""
    real, grid = graph.real(one.output), layer.grid
    if one.grid is not None or grid is None:
        return real
    rounded = np.clip(np.rint(real / grid.scale) + grid.zero_point, grid.low, grid.high)
    return np.asarray(grid.scale * (rounded - grid.zero_point), dtype=np.float32)


def _off(layer: Layer, one: TfliteLayer, found: Tensor, expected: Tensor) -> Difference:
    """In steps where graph and file have a grid of 8 bits; under different schemes, as noise."""
    error, grids = found - expected, [grid for grid in (layer.grid, one.grid) if grid]
    step = max((grid.scale for grid in grids), default=1e-6)
    if [grid.high - grid.low for grid in grids] == [255, 255]:
        return Difference(layer.name, "INT8 steps", float(error.abs().max()) / step, _STEPS_BOUND)
    return Difference(layer.name, "noise over signal", _noise(error, expected, step), _NOISE_BOUND)


def _noise(error: Tensor, signal: Tensor, floor: float) -> float:
    """Ratio of root mean squares; `floor` is the noise of a layer that is silent."""
    return float(error.square().mean().sqrt()) / max(float(signal.square().mean().sqrt()), floor)


def _require_kinds(found: Sequence[str], layers: Sequence[Layer], name: str) -> None:
    if list(found) != [layer.kind for layer in layers]:
        raise ArtifactError(f"{name} has other layers than the student; build the bundle again")


_HOPS: dict[tuple[str, tuple[str, ...]], Callable[[_Scene], Iterator[Difference]]] = {
    ("eager float -> model.onnx", ("model.onnx",)): _exported,
    ("model.onnx -> INT8 graph", ("model.onnx",)): _quantised,
    ("INT8 graph -> model.pte", ("model.pte",)): _lowered_pte,
    ("model.pte -> model_pcm.pte", ("model.pte", "model_pcm.pte")): _pcm_pte,
    ("INT8 graph -> model.tflite", ("model.tflite",)): _lowered_tflite,
    ("model.tflite -> model_pcm.tflite", ("model_pcm.tflite",)): _pcm_tflite,
}
