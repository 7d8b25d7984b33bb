"""A quantised graph walked layer by layer: against the student, the graph itself and numpy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from acula_edge.artifact import Artifact
from acula_edge.runtime.runner import open_runner
from quantize.layers import Walk, float_weights, layers_of
from quantize.sensitivity import Tally, decibels, scan_graph, scan_tflite, spread_of
from quantize.tflite_layers import TfliteGraph
from tests.quantize.conftest import CLIPS, Graph

CONVOLUTIONS, LINEARS = 15, 2
_VICTIM = "trunk.3.1"


def _outputs(walk: Walk, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    values = walk.values(graph.features)
    return next(value for node, value in values.items() if node.op == "output")


def test_layers_bear_the_names_of_the_students_modules(graph: Graph) -> None:
    layers = layers_of(graph.quantised)
    assert [layer.kind for layer in layers] == [*["conv"] * CONVOLUTIONS, "mean", *["linear"] * LINEARS]
    modules = dict(graph.student.named_modules())
    for layer in layers:
        if layer.kind == "conv":
            assert any(isinstance(module, nn.Conv2d) for module in modules[layer.name])
        elif layer.kind == "linear":
            assert isinstance(modules[layer.name], nn.Linear)
    assert len({layer.name for layer in layers}) == len(layers)


def test_all_layers_in_float_are_the_student(graph: Graph) -> None:
    weights = float_weights(graph.student, layers_of(graph.quantised))
    found = _outputs(Walk(graph.quantised, weights, everything=True), graph)
    with torch.no_grad():
        expected = graph.student(graph.features)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-4


def test_no_layer_in_float_is_the_graph(graph: Graph) -> None:
    weights = float_weights(graph.student, layers_of(graph.quantised))
    embedding, logits = _outputs(Walk(graph.quantised, weights), graph)
    for index in range(3):
        expected = graph.quantised(graph.features[index : index + 1])
        # A rounding tie may fall the other way in a larger batch.
        assert (embedding[index] - expected[0][0]).abs().median() < 1e-6
        assert (logits[index] - expected[1][0]).abs().max() < 0.2


def test_the_first_layers_figures_are_numpys(graph: Graph) -> None:
    """Weights rounded by hand, outputs rounded by hand: the same noise as the walk finds."""
    scan = scan_graph(graph.quantised, graph.student, graph.features, lambda _: None)
    first, layer = scan.layers[0], layers_of(graph.quantised)[0]
    convolution, norm = graph.student.trunk[0][0], graph.student.trunk[0][1]
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    weight = (convolution.weight * gain[:, None, None, None]).detach()
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    rounded = (weight / step).round().clamp(-127, 127) * step
    bias = (norm.bias - norm.running_mean * gain).detach()
    floating, heard = (
        torch.nn.functional.conv2d(graph.features, w, bias, 2, 1).clamp(0, 6).numpy().astype(np.float64)
        for w in (weight, rounded)
    )
    assert layer.grid is not None
    heard = np.rint(heard / layer.grid.scale).clip(0, 255) * layer.grid.scale
    noise = 10 * np.log10(np.square(floating).sum() / np.square(heard - floating).sum())
    assert first.alone_db == pytest.approx(noise, abs=0.05)
    assert first.weight_scales is not None
    assert first.weight_scales.largest == pytest.approx(float(step.max()), rel=1e-4)
    assert sum(first.weight_scales.octaves) == len(weight)


def _with_scale(quantised: GraphModule, layer_name: str, factor: float) -> GraphModule:
    """A copy in which the grid behind one layer has another scale."""
    changed = copy.deepcopy(quantised)
    layer = next(layer for layer in layers_of(changed) if layer.name == layer_name)
    rounding = layer.value.all_input_nodes[0]
    for node in (rounding, *rounding.users):
        node.update_arg(1, node.args[1] * factor)
    changed.recompile()
    return changed


def test_a_coarse_layer_is_the_worst_alone_and_the_one_to_leave_float(graph: Graph) -> None:
    coarse = _with_scale(graph.quantised, _VICTIM, 24.0)
    scan = scan_graph(coarse, graph.student, graph.features, lambda _: None)
    alone = {layer.layer: layer.alone_db for layer in scan.layers}
    assert min(alone, key=lambda name: alone[name] or 0.0) == _VICTIM
    best = max(scan.effects, key=lambda effect: effect.error)
    assert (best.layer, best.auroc) == (_VICTIM, None)
    assert best.error > 0.5


def test_saturation_counts_what_lies_outside_the_grid(graph: Graph) -> None:
    narrow = _with_scale(graph.quantised, _VICTIM, 0.25)
    scan = scan_graph(narrow, graph.student, graph.features, lambda _: None)
    found = next(layer for layer in scan.layers if layer.layer == _VICTIM)
    reached: list[np.ndarray] = []
    hook = graph.student.get_submodule(_VICTIM).register_forward_hook(
        lambda _module, _inputs, output: reached.append(output.numpy())
    )
    with torch.no_grad():
        graph.student(graph.features)
    hook.remove()
    end = found.scale * 255.5 if found.scale else 0.0
    assert found.saturated == pytest.approx((reached[0] > end).mean(), abs=1e-4)
    assert 0 < found.saturated < 1
    others = [layer.saturated for layer in scan.layers if layer.layer.startswith("trunk") and layer != found]
    assert max(others) == 0


def test_effects_rate_the_logits_of_all_clips(graph: Graph) -> None:
    seen: list[tuple[int, ...]] = []

    def score(logits: np.ndarray) -> float:
        seen.append(logits.shape)
        return float(len(seen))

    scan = scan_graph(graph.quantised, graph.student, graph.features, score)
    assert set(seen) == {(CLIPS, graph.student.n_logits)}
    assert [effect.auroc for effect in scan.effects] == list(range(1, CONVOLUTIONS + LINEARS + 1))
    assert scan.effects[-1].layer == "head"
    assert scan.effects[-1].error == 0  # nothing after it reaches the embedding


def test_the_tflite_is_walked_by_the_same_names(mini_quantized: Artifact, graph: Graph) -> None:
    layers = layers_of(graph.quantised)
    features = graph.features.numpy()
    files = [mini_quantized.file(name) for name in ("float.tflite", "model.tflite")]
    found = scan_tflite(*files, layers, features)
    assert [layer.layer for layer in found] == [layer.name for layer in layers]
    ours = scan_graph(graph.quantised, graph.student, graph.features, lambda _: None).layers
    for one, other in zip(found, ours, strict=True):
        assert one.sqnr_db == pytest.approx(other.sqnr_db, abs=1.5)
    floating, integer = TfliteGraph(files[0]), TfliteGraph(files[1])
    for graph_of, name in ((floating, "float.tflite"), (integer, "model.tflite")):
        graph_of.run(features[:1])
        expected = open_runner(mini_quantized.file(name)).run(features[:1])
        step = graph_of.layers[-1].grid.scale if graph_of.layers[-1].grid else 1e-5
        # The file ran with other kernels, whose roundings add up over the layers.
        assert np.abs(graph_of.real(graph_of.layers[-1].output) - expected.logits).max() <= 4.01 * step


def test_a_tally_is_numpys_cosine_and_decibels() -> None:
    rng = np.random.default_rng(0)
    one, noise = rng.normal(size=(2, 50)), rng.normal(scale=0.1, size=(2, 50))
    tally = Tally()
    for a, b in zip(one, one + noise, strict=True):
        tally.add(a, b, None)
    assert decibels(tally.signal, tally.error) == pytest.approx(
        10 * np.log10(np.square(one).sum() / np.square(noise).sum())
    )
    expected = np.corrcoef(one.ravel(), (one + noise).ravel())[0, 1]
    assert tally.product / np.sqrt(tally.signal * tally.other) == pytest.approx(expected, abs=0.01)
    assert decibels(0.0, 1.0) is None
    assert decibels(1.0, 0.0) is None


def test_octaves_count_channels_below_the_largest_scale() -> None:
    found = spread_of(np.array([1.0, 0.6, 0.5, 0.26, 2.0**-30]))
    assert found is not None
    assert found.octaves == (2, 2, 0, 0, 0, 0, 0, 1)
    assert (found.smallest, found.median, found.largest) == (2.0**-30, 0.5, 1.0)
    assert spread_of(np.empty(0)) is None
