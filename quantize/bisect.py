"""Bisect: from the eager student to the files of a bundle, the first hop and layer that differ too much.

Each hop compares two neighbours layer by layer, and gives a layer the inputs that it had on the side that is
examined: what a layer before it did wrong does not reach it. A .pte runs as one delegate, which shows
nothing of its inside; there the numbers that it holds are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.errors import ArtifactError
from acula_edge.frontend import log_mel
from acula_edge.runtime.hop import Difference, Hop
from acula_edge.runtime.runner import Outputs, open_runner
from acula_edge.students.store import RETRAINED, load_student
from acula_edge.students.student import Student
from quantize.forcing import Forced, Stored, as_shaped, stored
from quantize.graph_file import GRAPH, load_graph
from quantize.layers import Grid, Layer
from quantize.onnx_graph import ONNX_GRAPH
from quantize.onnx_layers import OnnxRun, run_onnx
from quantize.parity import cosines
from quantize.proof import eager
from quantize.pte_layers import PteLayer, read_pte
from quantize.tflite_layers import TfliteGraph, TfliteLayer

Floats = NDArray[np.float32]

_FRONT_END = "front end"  # in the place of a layer: how the features differ

_FLOAT_BOUND = 1e-4  # of the largest value, or of 1: two float kernels
_NOISE_BOUND = 0.1  # rms of a layer's error over that of its signal: 20 dB; a sound layer has 35 to 40
_STEPS_BOUND = 2.0  # INT8 steps: rounding of the sum, of the rounded bias, and of a tie
_STORED_BOUND = 1e-4  # relative; INT8 weights are equal or not
_UNPRINTED = 6e-7  # the compiler of flatbuffers prints a scale of a .pte with six decimals
_RETRAINED_BOUND = 0.05  # 1 - cosine; QAT ends near the outputs that it began with
_LEVELS = 255  # steps of a grid of 8 bits
_COSINE_BOUND = 0.01  # 1 - cosine of embeddings, as the parity gate has it


@dataclass(frozen=True)
class _Scene:
    """What all hops share: the bundle, its float student and INT8 graph, and one clip in both forms.

    `forced` has the float weights that the INT8 graph was made from: the student's, or those of QAT.
    """

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
    network = load_student(bundle, RETRAINED) if bundle.has(RETRAINED) else student
    forced = Forced(quantised, network, torch.from_numpy(features))
    scene = _Scene(bundle, student, forced, pcm, features)
    return [_hop(path, scene) for path in _PATHS if path.is_in(bundle)]


def first_fault(hops: Sequence[Hop]) -> Hop | None:
    """The first hop that failed."""
    return next((hop for hop in hops if not hop.passed), None)


def layer_names(hops: Sequence[Hop]) -> tuple[str, ...]:
    """The layers of the INT8 graph, from the hops of a bundle; empty if nothing could be compared."""
    walked = next((hop for hop in hops if hop.name == _TO_TFLITE and hop.layers), None)
    return tuple(layer.layer for layer in walked.layers if layer.layer != _FRONT_END) if walked else ()


@dataclass(frozen=True)
class _Path:
    """A hop, how it is compared, and the files that a bundle must have, or must not, for it to exist."""

    name: str
    compare: Callable[[_Scene], Iterator[Difference]]
    files: tuple[str, ...]
    without: tuple[str, ...] = ()

    def is_in(self, bundle: Artifact) -> bool:
        """A target that does not take a file has no hop that leads to it."""
        return all(map(bundle.has, self.files)) and not any(map(bundle.has, self.without))


def _hop(path: _Path, scene: _Scene) -> Hop:
    try:
        return Hop(path.name, tuple(path.compare(scene)))
    except ArtifactError as error:
        return Hop(path.name, (), str(error))


def _exported(scene: _Scene) -> Iterator[Difference]:
    eager, exported = scene.forced.eager(scene.student), _exported_values(scene)
    for layer in scene.layers:
        one, other = eager[layer.name], exported[layer.name]
        error = float((one - other).abs().max()) / max(1.0, float(one.abs().max()))
        yield Difference(layer.name, "largest error", error, _FLOAT_BOUND)


def _retrained(scene: _Scene) -> Iterator[Difference]:
    """QAT moves every layer as it likes; its goal are the student's own outputs."""
    before, after = (eager(network, scene.features) for network in (scene.student, scene.forced.student))
    yield _apart("outputs", before, after, _RETRAINED_BOUND)


def _quantised(scene: _Scene) -> Iterator[Difference]:
    yield from _rounded(scene, _exported_values(scene))


def _quantised_again(scene: _Scene) -> Iterator[Difference]:
    yield from _rounded(scene, scene.forced.eager(scene.forced.student))


def _rounded(scene: _Scene, floating: dict[str, Tensor]) -> Iterator[Difference]:
    heard = scene.forced.alone(floating)
    for layer in scene.layers:
        signal, floor = floating[layer.name], layer.grid.scale if layer.grid else 1e-6
        value = _noise(heard[layer.name] - signal, signal, floor)
        yield Difference(layer.name, "noise over signal", value, _NOISE_BOUND)


def _exported_values(scene: _Scene) -> dict[str, Tensor]:
    return _named(scene, "model.onnx", run_onnx(scene.bundle.file("model.onnx"), scene.features))


def _named(scene: _Scene, name: str, run: OnnxRun) -> dict[str, Tensor]:
    _require_kinds([kind for kind, _ in run.layers], scene.layers, name)
    return {
        layer.name: torch.from_numpy(value).reshape(scene.forced.shapes[layer.name])
        for layer, (_, value) in zip(scene.layers, run.layers, strict=True)
    }


def _onnx_graph(scene: _Scene) -> Iterator[Difference]:
    run = run_onnx(scene.bundle.file(ONNX_GRAPH), scene.features)
    values = _named(scene, ONNX_GRAPH, run)
    yield from _steps(scene, values, torch.from_numpy(run.features))
    yield _ended(scene, ONNX_GRAPH, scene.features, scene.forced.outputs())


def _lowered_pte(scene: _Scene) -> Iterator[Difference]:
    yield from _stored(scene, "model.pte")
    yield _ended(scene, "model.pte", scene.features, scene.forced.outputs())


def _pcm_pte(scene: _Scene) -> Iterator[Difference]:
    yield from _stored(scene, "model_pcm.pte")
    before = open_runner(scene.bundle.file("model.pte")).run(scene.features)
    yield _ended(scene, "model_pcm.pte", scene.pcm, before, _FRONT_END)


def _stored(scene: _Scene, name: str) -> Iterator[Difference]:
    found = read_pte(scene.bundle.file(name))[-len(scene.layers) :]  # a front end's layers come first
    _require_kinds([layer.kind for layer in found], scene.layers, name)
    for layer, held in zip(scene.layers, found, strict=True):
        yield Difference(layer.name, "stored numbers", _unlike(scene, layer, held), _STORED_BOUND)


def _unlike(scene: _Scene, layer: Layer, held: PteLayer) -> float:
    """Relative difference of scales, grid and bias; where INT8 weights differ, at least 1."""
    found = [0.0]
    if layer.grid and held.scale is not None and held.zero_point is not None:
        found += [_unequal(held.scale, layer.grid.scale), abs(held.zero_point - layer.grid.zero_point)]
    if layer.weight is not None and held.weight is not None and held.weight_scales is not None:
        own = stored(scene.forced.graph, layer)
        found.append(float(np.max(_unequal(held.weight_scales, own.scales))))
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


def _unequal(held: Any, own: Any) -> Any:
    """Relative difference of scales, beyond what their printing hides."""
    return np.maximum(np.abs(held - own) - _UNPRINTED, 0) / own


def _ended(
    scene: _Scene, name: str, batch: NDArray[Any], before: Outputs, layer: str = "outputs"
) -> Difference:
    found = open_runner(scene.bundle.file(name)).run(batch)
    return _apart(layer, before, found, _COSINE_BOUND)


def _apart(layer: str, one: Outputs, other: Outputs, bound: float) -> Difference:
    pairs = ((one.embedding, other.embedding), (one.logits, other.logits))
    worst = max(1 - float(cosines(before, after)[0]) for before, after in pairs)
    return Difference(layer, "1 - cosine of the outputs", worst, bound)


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
    values = {
        layer.name: as_shaped(_read(graph, layer, one), scene.forced.shapes[layer.name])
        for layer, one in zip(scene.layers, found, strict=True)
    }
    yield from _steps(scene, values, source, [one.grid for one in found])


def _steps(
    scene: _Scene, values: dict[str, Tensor], source: Tensor, grids: Sequence[Grid | None] = ()
) -> Iterator[Difference]:
    """A file's own `values` for the features `source` against the graph's, in steps of the wider grid."""
    if scene.forced.input_grid is not None:
        steps = float((source - scene.forced.heard()).abs().max()) / scene.forced.input_grid.scale
        yield Difference(_FRONT_END, "INT8 steps", steps, _STEPS_BOUND)
    expected = scene.forced.alone(values, source)
    for layer, own in zip_longest(scene.layers, grids):
        yield _off(layer, own, values[layer.name], expected[layer.name])


def _read(graph: TfliteGraph, layer: Layer, one: TfliteLayer) -> Floats:
    """A layer's output as the next layer gets it: a float one may be rounded on its way there."""
    real, grid = graph.real(one.output), layer.grid
    if one.grid is not None or grid is None:
        return real
    rounded = np.clip(np.rint(real / grid.scale) + grid.zero_point, grid.low, grid.high)
    return np.asarray(grid.scale * (rounded - grid.zero_point), dtype=np.float32)


def _off(layer: Layer, own: Grid | None, found: Tensor, expected: Tensor) -> Difference:
    """In steps of the wider grid where both have the graph's; as noise where the schemes are others."""
    error, grids = found - expected, [grid for grid in (layer.grid, own) if grid]
    step = max((grid.scale for grid in grids), default=1e-6)
    if layer.grid is not None and all(grid.high - grid.low == _LEVELS for grid in grids):
        return Difference(layer.name, "INT8 steps", float(error.abs().max()) / step, _STEPS_BOUND)
    return Difference(layer.name, "noise over signal", _noise(error, expected, step), _NOISE_BOUND)


def _noise(error: Tensor, signal: Tensor, floor: float) -> float:
    """Ratio of root mean squares; `floor` is the noise of a layer that is silent."""
    return float(error.square().mean().sqrt()) / max(float(signal.square().mean().sqrt()), floor)


def _require_kinds(found: Sequence[str], layers: Sequence[Layer], name: str) -> None:
    if list(found) != [layer.kind for layer in layers]:
        raise ArtifactError(f"{name} has other layers than the student; build the bundle again")


_TO_TFLITE = "INT8 graph -> model.tflite"
_PATHS: tuple[_Path, ...] = (
    _Path("eager float -> model.onnx", _exported, ("model.onnx",)),
    _Path("model.onnx -> INT8 graph", _quantised, ("model.onnx",), without=(RETRAINED,)),
    _Path("eager float -> retrained float", _retrained, (RETRAINED,)),
    _Path("retrained float -> INT8 graph", _quantised_again, (RETRAINED,)),
    _Path(f"INT8 graph -> {ONNX_GRAPH}", _onnx_graph, (ONNX_GRAPH,)),
    _Path("INT8 graph -> model.pte", _lowered_pte, ("model.pte",)),
    _Path("model.pte -> model_pcm.pte", _pcm_pte, ("model.pte", "model_pcm.pte")),
    _Path(_TO_TFLITE, _lowered_tflite, ("model.tflite",)),
    _Path("model.tflite -> model_pcm.tflite", _pcm_tflite, ("model_pcm.tflite",)),
)
