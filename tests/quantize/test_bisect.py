"""Bisect on a real bundle and a real clip: silent where all is sound, and right where a fault was planted."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from copy import deepcopy as copy_of
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.errors import ArtifactError
from acula_edge.frontend import log_mel_module
from acula_edge.runtime.runner import open_runner
from acula_edge.students.store import load_student
from quantize.bisect import _STORED_BOUND, _unlike, bisect, first_fault, layer_names
from quantize.forcing import stored
from quantize.graph_file import GRAPH, load_graph, save_graph
from quantize.layers import Layer, attribute, grid_of, layers_of
from quantize.onnx_graph import ONNX_GRAPH
from quantize.pte_layers import PteLayer, read_pte
from quantize.scheme import STATIC
from quantize.tflite_layers import TfliteGraph
from tests.quantize.conftest import Graph

_LAYER = "trunk.5.1"  # a pointwise convolution in the middle
_INDEX = 10  # of it among the layers


@pytest.fixture(scope="module")
def clip(mini_dataset: Artifact) -> np.ndarray:
    return spread_clips(Dataset.open(mini_dataset), Split.VAL, 4, seed=3).pcm[:1]


@pytest.fixture
def copy(mini_bundle: Artifact, tmp_path: Path) -> Path:
    shutil.copytree(mini_bundle.path, tmp_path / "bundle")
    return tmp_path / "bundle"


def _flip(path: Path, numbers: bytes) -> None:
    """The highest bit of every eighth byte of some numbers that the file holds once."""
    content = bytearray(path.read_bytes())
    start = content.index(numbers)
    assert content.find(numbers, start + 1) < 0
    for at in range(start, start + len(numbers), 8):
        content[at] ^= 0x80
    path.write_bytes(content)


def _eager(folder: Path) -> None:
    weights = load_file(folder / "student.safetensors")
    weights[f"{_LAYER}.0.weight"][3] += 0.5
    save_file(weights, folder / "student.safetensors")


def _exported(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    weight = next(one for one in model.graph.initializer if one.name == f"{_LAYER}.0.weight")
    content = (folder / "model.onnx").read_bytes()
    found = np.frombuffer(weight.raw_data, np.float32)
    (folder / "model.onnx").write_bytes(content.replace(weight.raw_data, (-found).tobytes()))


def _scale(folder: Path) -> None:
    student = load_student(Artifact.open(folder))
    layer = layers_of(load_graph(student, folder / GRAPH))[_INDEX]
    numbers = load_file(folder / GRAPH)
    for node in layer.nodes[2:]:
        numbers[f"grid.{node.name}"][0] *= 0.1
    save_file(numbers, folder / GRAPH)


def _pte(name: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        weight = read_pte(folder / name)[-18:][_INDEX].weight
        assert weight is not None
        _flip(folder / name, weight.tobytes())

    return plant


def _pte_grid(folder: Path) -> None:
    """The scale behind the embedding, which no other tensor has."""
    tensors = {spec.name: spec.scale for spec in Artifact.open(folder).manifest.tensors}
    scale = struct.pack("<f", tensors["model.pte:embedding"])
    content = (folder / "model.pte").read_bytes()
    assert scale in content
    wrong = struct.pack("<f", 1.5 * struct.unpack("<f", scale)[0])
    (folder / "model.pte").write_bytes(content.replace(scale, wrong))


def _onnx_graph(folder: Path) -> None:
    student = load_student(Artifact.open(folder))
    graph = load_graph(student, folder / GRAPH)
    layer = layers_of(graph)[_INDEX]
    assert layer.weight is not None
    _flip(folder / ONNX_GRAPH, attribute(graph, layer.weight.all_input_nodes[0]).numpy().tobytes())


def _tflite(name: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        graph = TfliteGraph(folder / name)
        layer = graph.layers[-18:][_INDEX]
        assert layer.weight is not None
        _flip(folder / name, graph.raw(layer.weight).tobytes())

    return plant


def _front_end(name: str) -> Callable[[Path], None]:
    """The largest table of the front end, the DFT or the mel bands: its numbers change their signs."""

    def plant(folder: Path) -> None:
        contract = AudioContract.of(Artifact.open(folder).manifest.contract)
        content = (folder / name).read_bytes()
        tables = [value.float().numpy() for value in log_mel_module(contract).state_dict().values()]
        tables += [np.ascontiguousarray(np.moveaxis(table, 1, -1)) for table in tables if table.ndim == 3]
        found = [table for table in tables if table.size > 64 and table.tobytes() in content]
        assert found
        for table in found:
            content = content.replace(table.tobytes(), (table[::-1] * 2 + 1e-3).tobytes())
        (folder / name).write_bytes(content)

    return plant


_ONNX = "INT8 graph -> graph.onnx"
_EAGER, _GRAPH = "eager float -> model.onnx", "model.onnx -> INT8 graph"
_PTE, _PCM_PTE = "INT8 graph -> model.pte", "model.pte -> model_pcm.pte"
_TFLITE, _PCM_TFLITE = "INT8 graph -> model.tflite", "model.tflite -> model_pcm.tflite"
# Several at once, where one hop's fault does not reach the other's: the hop, what is planted, where.
_FAULTS: dict[str, tuple[tuple[str, Callable[[Path], None], str], ...]] = {
    "graph": ((_GRAPH, _scale, _LAYER),),
    "INT8 .onnx": ((_ONNX, _onnx_graph, _LAYER),),
    "student and .pte": ((_EAGER, _eager, _LAYER), (_PTE, _pte("model.pte"), _LAYER)),
    "grid, .onnx and PCM files": (
        (_EAGER, _exported, _LAYER),
        (_PTE, _pte_grid, "embedding"),
        (_PCM_PTE, _pte("model_pcm.pte"), _LAYER),
        (_PCM_TFLITE, _tflite("model_pcm.tflite"), _LAYER),
    ),
    ".tflite and front ends": (
        (_PCM_PTE, _front_end("model_pcm.pte"), "front end"),
        (_TFLITE, _tflite("model.tflite"), _LAYER),
        (_PCM_TFLITE, _front_end("model_pcm.tflite"), "front end"),
    ),
}


def test_a_sound_bundle_has_no_fault(mini_bundle: Artifact, clip: np.ndarray) -> None:
    hops = bisect(mini_bundle, clip)
    assert [hop.name for hop in hops if not hop.passed] == []
    assert first_fault(hops) is None
    names = [
        layer.name for layer in layers_of(load_graph(load_student(mini_bundle), mini_bundle.file(GRAPH)))
    ]
    assert layer_names(hops) == tuple(names)
    assert all(set(names) <= {layer.layer for layer in hop.layers} for hop in hops)
    # The bounds are not so wide that nothing could miss them. A .pte holds the very numbers of the graph.
    computed = [hop for hop in hops if not hop.name.endswith(".pte")]
    assert all(hop.shown is not None and hop.shown.value > hop.shown.bound / 100 for hop in computed)


@pytest.mark.parametrize("faults", _FAULTS)
def test_planted_faults_are_found_where_they_are(copy: Path, clip: np.ndarray, faults: str) -> None:
    for _, plant, _ in _FAULTS[faults]:
        plant(copy)
    hops = bisect(Artifact.open(copy), clip)
    first = first_fault(hops)
    assert first is not None
    assert first.name == _FAULTS[faults][0][0]
    culprits = {hop.name: hop.culprit.layer for hop in hops if hop.culprit}
    for hop, _, layer in _FAULTS[faults]:
        assert culprits[hop] == layer


def _held(graph: Graph, layer: Layer, steps_off: float = 0.0) -> PteLayer:
    """A layer as it is read from a .pte: INT8 numbers, an int32 bias, and scales of six decimals."""
    own, source = stored(graph.quantised, layer), layer.op.all_input_nodes[0].all_input_nodes[0]
    assert own.bias is not None
    assert own.bias_steps is not None
    printed = round(grid_of(source).scale, 6)
    return PteLayer(
        kind=layer.kind,
        weight=own.weight,
        weight_scales=own.scales.astype(np.float32),
        bias=(np.rint(own.bias / own.bias_steps) + steps_off) * own.scales * printed,
        scale=round(layer.grid.scale, 6) if layer.grid else None,
        zero_point=layer.grid.zero_point if layer.grid else None,
    )


def test_a_scale_that_is_printed_with_six_decimals_is_no_fault(graph: Graph) -> None:
    """A trained student has biases of a hundred thousand steps: the last decimal moves them by some."""
    changed = copy_of(graph.quantised)
    layer = layers_of(changed)[_INDEX]
    bias = attribute(changed, layer.op.args[2])
    steps = stored(changed, layer).bias_steps
    bias.copy_(torch.from_numpy(steps * np.linspace(-2e5, 2e5, len(steps))))
    large = Graph(graph.student, changed, graph.features)
    scene = SimpleNamespace(forced=SimpleNamespace(graph=changed))
    exact = _held(large, layer)
    off = np.abs(exact.bias - stored(changed, layer).bias) / steps
    assert off.max() > 1.5  # more than rounding to a step explains
    assert _unlike(scene, layer, exact) <= _STORED_BOUND
    assert _unlike(scene, layer, _held(large, layer, steps_off=20)) > 100 * _STORED_BOUND


def test_the_graph_file_gives_the_graph_back(graph: Graph, tmp_path: Path) -> None:
    save_graph(graph.quantised, STATIC, tmp_path)
    again = load_graph(graph.student, tmp_path / GRAPH)
    for one, other in zip(graph.quantised(graph.features[:1]), again(graph.features[:1]), strict=True):
        assert torch.equal(one, other)
    (tmp_path / "again").mkdir()
    save_graph(again, STATIC, tmp_path / "again")
    assert (tmp_path / "again" / GRAPH).read_bytes() == (tmp_path / GRAPH).read_bytes()


def test_the_graph_of_another_student_is_refused(
    graph: Graph, mini_quantized: Artifact, tmp_path: Path
) -> None:
    numbers = load_file(mini_quantized.file(GRAPH))
    del numbers[sorted(numbers)[0]]
    save_file(numbers, tmp_path / GRAPH)
    with pytest.raises(ArtifactError, match="belongs to another student"):
        load_graph(graph.student, tmp_path / GRAPH)
    (tmp_path / GRAPH).write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="can not be read"):
        load_graph(graph.student, tmp_path / GRAPH)


def test_a_pte_is_read_as_it_runs(mini_quantized: Artifact, graph: Graph) -> None:
    """Its last two layers by hand, from the numbers of the file: what the runtime gives, within a step."""
    *_, mean, embedding, head = read_pte(mini_quantized.file("model.pte"))
    outputs = open_runner(mini_quantized.file("model.pte")).run(graph.features[:1].numpy())
    assert mean.kind == "mean"
    assert head.weight is not None
    assert head.weight_scales is not None
    assert head.bias is not None
    assert head.scale is not None
    weight = head.weight * head.weight_scales[:, None]
    logits = outputs.embedding[0] @ weight.T + head.bias
    assert np.abs(logits - outputs.logits[0]).max() <= head.scale
    assert embedding.scale is not None
    levels = outputs.embedding[0] / embedding.scale
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-2)
