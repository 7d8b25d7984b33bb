"""The network in C: bit by bit what LiteRT's reference kernels give, in memory that nothing overwrites."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from acula_edge.errors import ArtifactError
from targets.stethoscope import lowering
from targets.stethoscope.fixed_point import fixed_point
from targets.stethoscope.flatbuffer import read_graph
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.lowering import read_network
from targets.stethoscope.memory import MemoryPlan, plan_memory
from targets.stethoscope.network import Addition, Convolution, Depthwise, Network, Value
from targets.stethoscope.overlap import block_of
from tests.targets.stethoscope.host import SANITISE, Model, compile_host, run_host

COMPILERS = ("gcc", "clang")


@pytest.mark.parametrize("name", ["usual", "odd", "whole"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_value_of_every_clip_is_the_reference(
    compiler: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """PCM to result, in chunks of five sizes, under sanitizers, without a warning."""
    folder: Path = request.getfixturevalue(f"{name}_folder")
    model: Model = request.getfixturevalue(name)
    program = compile_host(folder, compiler, tmp_path / "test", *SANITISE)
    code, values, failures = run_host(program, folder / "test")
    assert code == 0, failures
    expected = model.answers.embedding.size + model.answers.logits.size
    assert (values["clips"], values["values"], values["mismatches"]) == (len(model.pcm), expected, 0)
    assert len(np.unique(model.answers.logits, axis=0)) > len(model.pcm) // 2, "the clips must differ"


def test_a_wrong_weight_is_noticed(usual: Model, usual_folder: Path, tmp_path: Path) -> None:
    """Fault injection: one weight of a middle layer, one step."""
    source = (usual_folder / "src" / "acula_network.c").read_text()
    head, name, rest = source.partition("int8_t weights_4[")
    start = rest.index("{") + 1
    number = rest[start:].split(",")[0]
    changed = head + name + rest[:start] + rest[start:].replace(number, f" {int(number) ^ 1}", 1)
    folder = usual.write(tmp_path / "library")
    (folder / "src" / "acula_network.c").write_text(changed)
    code, values, _ = run_host(compile_host(folder, "gcc", tmp_path / "test"), folder / "test")
    assert code == 1
    assert values["selftest"] == 2  # the checksum of the constants
    assert values["mismatches"] > 0


def test_the_odd_student_takes_every_path(odd: Model, whole: Model) -> None:
    layers = odd.firmware.network.layers
    assert any(isinstance(layer, Addition) and isinstance(layer.other, Value) for layer in layers)
    assert any(isinstance(layer, Depthwise) and layer.window.kernel == (5, 5) for layer in layers)
    assert any(
        isinstance(layer, Convolution) and layer.source.shape[2] % 4 and layer.window.kernel == (1, 1)
        for layer in layers
    )
    assert {True, False} == set(whole.firmware.plan.backwards)
    assert (odd.firmware.hops.frames, odd.firmware.hops.count) == (8, 13)
    assert odd.firmware.hops.past
    assert (whole.firmware.hops.count, whole.firmware.hops.past) == (1, {})


@pytest.mark.parametrize("name", ["usual", "odd", "whole"])
def test_no_byte_is_overwritten_before_it_is_read(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    assert _clashes(model.firmware.hops.network, model.firmware.plan) == []


def test_a_plan_that_overlaps_too_much_is_noticed(usual: Model) -> None:
    """The oracle of the test above: every overlapping result a word nearer to its source clashes."""
    network, plan = usual.firmware.network, usual.firmware.plan
    at = {place.value.name: place for place in plan.places}
    noticed = 0
    for step, layer in enumerate(network.layers):
        source, result = at[layer.source.name], at[layer.result.name]
        if result.offset < source.end and source.offset < result.end:
            nearer = replace(result, offset=result.offset + (-32 if plan.backwards[step] else 32))
            places = tuple(nearer if place is result else place for place in plan.places)
            noticed += bool(_clashes(network, replace(plan, places=places)))
    assert noticed > 3


def test_the_plan_is_as_small_as_it_can_be(usual: Model, whole: Model) -> None:
    for model in (usual, whole):
        plan = model.firmware.plan
        assert plan.arena_bytes <= plan.least_bytes + 8  # of alignment
        assert plan == plan_memory(model.firmware.hops, Kernels())
    sizes = [value.size_bytes for value in _values(usual.firmware.network)]
    assert usual.firmware.plan.arena_bytes < 1.1 * max(sizes)


def test_hop_by_hop_needs_less_memory(odd: Model, whole: Model) -> None:
    assert odd.firmware.plan.arena_bytes < 0.6 * whole.firmware.plan.arena_bytes


@pytest.mark.parametrize("factor", [0.3, 0.5, 1 - 2**-40, 1e-4, 3.7, 2.0**-31])
def test_fixed_point_is_the_factor_to_31_bits(factor: float) -> None:
    multiplier, shift = fixed_point(factor)
    assert 2**30 <= multiplier < 2**31
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(factor, rel=2.0**-31)
    assert fixed_point(2.0**-40) == (0, 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SOFTMAX", r"the C code has no operator SOFTMAX; it has: ADD, CONV_2D"),
        ("MEAN", r"the operator MEAN that makes .* takes the mean over the axes"),
    ],
)
def test_an_operator_that_is_not_known_is_refused_by_name(
    name: str, message: str, usual: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = read_graph(usual.path)
    place = next(i for i, operator in enumerate(graph.operators) if operator.name == "FULLY_CONNECTED")
    operator = replace(graph.operators[place], name=name)
    if name == "MEAN":  # over what the mean before it was taken of, along other axes
        shape = next(op.inputs[1] for op in graph.operators if op.name == "RESHAPE")
        operator = replace(operator, inputs=(operator.inputs[0], shape))
    changed = replace(graph, operators=(*graph.operators[:place], operator, *graph.operators[place + 1 :]))
    monkeypatch.setattr(lowering, "read_graph", lambda _: changed)
    with pytest.raises(ArtifactError, match=message):
        read_network(usual.path)


def test_a_damaged_file_is_refused(usual: Model, tmp_path: Path) -> None:
    cut = tmp_path / "model.tflite"
    cut.write_bytes(usual.path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="can not be read"):
        read_network(cut)


def _values(network: Network) -> list[Value]:
    return [network.features, *(layer.result for layer in network.layers)]


def _clashes(network: Network, plan: MemoryPlan) -> list[str]:
    """Runs the layers block by block over a map of who owns each byte of the arena."""
    at = {place.value.name: place for place in plan.places}
    found = []
    for one, other in combinations(plan.places, 2):
        together = one.born <= other.last_read and other.born <= one.last_read
        overlap = one.offset < other.end and other.offset < one.end
        handed_on = one.last_read == other.born or other.last_read == one.born
        if together and overlap and not handed_on:
            found.append(f"{one.value.name} and {other.value.name}")
    for step, layer in enumerate(network.layers):
        if isinstance(layer, Convolution | Depthwise):
            block = block_of(layer)
            source, result = at[layer.source.name].offset, at[layer.result.name].offset
            if _overtakes(layer, block, source, result, plan.backwards[step]):
                found.append(layer.name)
    return found


def _overtakes(layer: Convolution | Depthwise, block: int, source: int, result: int, backwards: bool) -> bool:
    rows, columns, channels = layer.result.shape
    height, width, depth = layer.source.shape
    pixels = [(y, x) for y in range(rows) for x in range(columns)]
    blocks = [pixels[start : start + block] for start in range(0, len(pixels), block)]
    written = np.zeros(max(source + layer.source.size_bytes, result + layer.result.size_bytes), bool)
    for group in reversed(blocks) if backwards else blocks:
        for y, x in group:
            top = y * layer.window.stride[0] - layer.window.before[0]
            left = x * layer.window.stride[1] - layer.window.before[1]
            first, last = max(left, 0), min(left + layer.window.kernel[1], width)
            start = result + (y * columns + x) * channels
            written[start : start + channels] = True  # while it still reads
            for row in range(max(top, 0), min(top + layer.window.kernel[0], height)):
                place = source + row * width * depth
                if written[place + first * depth : place + last * depth].any():
                    return True
    return False
