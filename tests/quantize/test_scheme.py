"""Every pair of scheme and runtime: refused by name, or exported and run on real clips.

The student has all that a family has: separable and widened blocks, a skip, kernels of 3 and 5, attention,
a layer on top. The families themselves are in benchmarks/schemes.py, for they take minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.fx import GraphModule

from acula_edge.errors import UsageError
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Outputs, Runtime, open_runner
from acula_edge.students.config import AttentionBlock, Block, StudentConfig
from acula_edge.students.student import Student
from quantize.parity import cosines
from quantize.proof import eager
from quantize.ranges import Observer, Range
from quantize.scheme import Scheme, SchemeConfig, schemes_of
from tests.students.shapes import heard, real_features

CONFIG = StudentConfig(
    stem_channels=8,
    blocks=(
        Block(channels=12, frame_stride=2),
        Block(channels=12, kernel=5, expansion=2),
        Block(channels=16, expansion=3, mel_stride=2, frame_stride=2),
        AttentionBlock(heads=2, head_channels=6, expansion=2),
    ),
    top_channels=24,
    embedding_dim=16,
)
CONVOLUTIONS, LINEARS = 16, 2
# The worst embedding of a clip against the float student, with room below what was measured.
MIN_COSINE = {Scheme.STATIC: 0.99, Scheme.INT16: 0.999, Scheme.DYNAMIC: 0.99, Scheme.WEIGHT_ONLY: 0.999}


class Bench:
    """A student that has heard real clips, what it computes of them, and its grids."""

    def __init__(self, folder: Path) -> None:
        with divert_output(folder / "log"):
            from quantize import executorch, litert
            from quantize.calibration import CalibrationConfig
            from quantize.graphs import NamedFeatures
            from quantize.sites import observe

        self.folder, self.executorch, self.litert = folder, executorch, litert
        self.features: Tensor = real_features(24)
        self.student: Student = heard(CONFIG, self.features)
        self.floating: Outputs = eager(self.student, self.features.numpy())
        self.sites = observe(self.student, self.features)
        self.seen = {name: site.statistics for name, site in self.sites.items()}
        self.ranges = CalibrationConfig().ranges(self.seen, symmetric=False)
        with divert_output(folder / "log"):
            example = self.features[:1]
            self.float_tflite = litert.convert(NamedFeatures(self.student), "features", example)

    def quantised(self, scheme: SchemeConfig, ranges: dict[str, Range] | None = None) -> GraphModule:
        return self.executorch.quantise(self.student, self.features, scheme, ranges or self.ranges)

    def tflite(self, scheme: SchemeConfig, ranges: dict[str, Range] | None = None) -> Path:
        path = self.folder / "model.tflite"
        with divert_output(self.folder / "log"):
            grids = (scheme, self.sites, ranges or self.ranges)
            path.write_bytes(
                self.litert.quantise(self.float_tflite, "features", self.features.numpy(), *grids)
            )
        return path

    def worst(self, outputs: Outputs) -> float:
        return float(cosines(self.floating.embedding, outputs.embedding).min())

    def run(self, path: Path) -> Outputs:
        return open_runner(path).run(self.features.numpy())

    def run_graph(self, graph: GraphModule) -> Outputs:
        with torch.no_grad():
            pairs = [graph(clip[None]) for clip in self.features]
        return Outputs(*(torch.cat(part).numpy() for part in zip(*pairs, strict=True)))


def _tensors(path: Path) -> list[dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    return list(interpreter.get_tensor_details())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("schemes"))


@pytest.mark.parametrize("scheme", [Scheme.INT16, Scheme.WEIGHT_ONLY])
def test_what_xnnpack_lacks_is_refused_with_what_it_has(scheme: Scheme) -> None:
    with pytest.raises(UsageError, match=rf"{scheme} is not for \.pte: XNNPACK .*it has: static, dynamic"):
        SchemeConfig(pte=scheme)


def test_litert_has_every_scheme_and_onnx_none() -> None:
    assert schemes_of(Runtime.TFLITE) == tuple(Scheme)
    assert schemes_of(Runtime.ONNX) == ()


def test_symmetric_needs_fixed_ranges() -> None:
    with pytest.raises(UsageError, match="symmetric is for fixed"):
        SchemeConfig(pte=Scheme.DYNAMIC, tflite=Scheme.WEIGHT_ONLY, symmetric=True)
    assert SchemeConfig(pte=Scheme.DYNAMIC, symmetric=True).symmetric


def test_ranges_anew_for_each_clip_need_a_scale_for_each_channel_in_a_pte() -> None:
    with pytest.raises(UsageError, match=r"per_channel = false is not for scheme dynamic in a \.pte"):
        SchemeConfig(pte=Scheme.DYNAMIC, per_channel=False)
    assert not SchemeConfig(tflite=Scheme.DYNAMIC, per_channel=False).per_channel


def test_an_unknown_scheme_or_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="static"):
        SchemeConfig.model_validate({"pte": "int4"})
    with pytest.raises(ValidationError, match="bits"):
        SchemeConfig.model_validate({"bits": 4})


def test_a_module_stays_float_with_all_inside_it_and_no_other() -> None:
    scheme = SchemeConfig(float_modules=("trunk.1", "head"))
    kept = [
        name for name in ("trunk.1", "trunk.1.0", "trunk.10", "trunk", "head") if scheme.keeps_float(name)
    ]
    assert kept == ["trunk.1", "trunk.1.0", "head"]


@pytest.mark.parametrize("scheme", schemes_of(Runtime.TFLITE))
def test_each_scheme_of_litert_runs_and_keeps_the_embedding(bench: Bench, scheme: Scheme) -> None:
    path = bench.tflite(SchemeConfig(tflite=scheme))
    assert bench.worst(bench.run(path)) > MIN_COSINE[scheme]
    weights = [tensor for tensor in _tensors(path) if tensor["quantization_parameters"]["scales"].size > 1]
    matrices = [tensor for tensor in weights if len(tensor["shape"]) > 1]
    assert len(matrices) == CONVOLUTIONS + LINEARS
    assert {tensor["dtype"] for tensor in matrices} == {np.int8}


def test_a_linear_layer_of_dynamic_has_one_scale_as_an_older_runtime_reads_no_other(bench: Bench) -> None:
    path = bench.tflite(SchemeConfig(tflite=Scheme.DYNAMIC))
    tensors = [tensor for tensor in _tensors(path) if tensor["dtype"] == np.int8]
    scales = [
        (len(one["shape"]), np.unique(one["quantization_parameters"]["scales"]).size) for one in tensors
    ]
    assert [count for axes, count in scales if axes == 2 and count] == [1] * LINEARS
    assert min(count for axes, count in scales if axes == 4 and count) > 1


def test_dynamic_of_xnnpack_runs_and_leaves_depthwise_layers_in_float(bench: Bench) -> None:
    scheme = SchemeConfig(pte=Scheme.DYNAMIC)
    with divert_output(bench.folder / "log"):
        lowered = bench.executorch.lower(bench.quantised(scheme), forward=bench.features[:1])
    (bench.folder / "dynamic.pte").write_bytes(lowered.program)
    assert bench.worst(bench.run(bench.folder / "dynamic.pte")) > MIN_COSINE[Scheme.DYNAMIC]
    # The stem has one channel: it counts as depthwise. Behind attention one stays float, too.
    assert lowered.ops.int8 == {"conv2d": CONVOLUTIONS - 5, "linear": LINEARS}
    assert lowered.ops.floating == {"conv2d": 5}
    assert (lowered.ops.delegates, lowered.ops.undelegated) == (1, {})
    assert bench.executorch.border_steps(bench.quantised(scheme)) == {}


def test_named_modules_stay_float_in_both_runtimes(bench: Bench) -> None:
    from quantize.ops import tflite_ops, tflite_steps

    scheme = SchemeConfig(float_modules=("trunk.0", "trunk.2", "embedding"))
    with divert_output(bench.folder / "log"):
        graph = bench.quantised(scheme)
        lowered = bench.executorch.lower(graph, forward=bench.features[:1])
    (bench.folder / "mixed.pte").write_bytes(lowered.program)
    path = bench.tflite(scheme)
    (bench.folder / "float.tflite").write_bytes(bench.float_tflite)
    table = tflite_ops(bench.folder / "float.tflite", path)
    assert lowered.ops.floating == {"conv2d": 4, "linear": 1}
    assert table.floating["CONV_2D"] + table.floating["DEPTHWISE_CONV_2D"] == 4
    assert table.floating["FULLY_CONNECTED"] == table.int8["FULLY_CONNECTED"] == 1
    assert (lowered.ops.undelegated, table.undelegated) == ({}, {})
    steps = bench.executorch.border_steps(graph)
    assert set(steps) == set(tflite_steps(path)) == {"logits"}
    whole = bench.worst(bench.run_graph(bench.quantised(SchemeConfig())))
    for outputs in (bench.run(bench.folder / "mixed.pte"), bench.run(path)):
        assert bench.worst(outputs) > max(MIN_COSINE[Scheme.STATIC], whole)


@pytest.mark.parametrize(
    ("observer", "symmetric"), [*((observer, False) for observer in Observer), (Observer.MIN_MAX, True)]
)
def test_both_runtimes_lie_on_the_same_grids_at_every_tensor(
    bench: Bench, observer: Observer, symmetric: bool
) -> None:
    from quantize.calibration import CalibrationConfig

    scheme = SchemeConfig(symmetric=symmetric)
    ranges = CalibrationConfig(observer=observer, percentile=99.9).ranges(bench.seen, symmetric)
    graph = bench.quantised(scheme, ranges)
    quantise = torch.ops.quantized_decomposed.quantize_per_tensor.default
    steps = {
        (float(node.args[1]), int(node.args[2])) for node in graph.graph.nodes if node.target is quantise
    }
    assert len(steps) >= len(set(bench.ranges.values())) - 3
    theirs = [
        tensor["quantization"]
        for tensor in _tensors(bench.tflite(scheme, ranges))
        if tensor["quantization_parameters"]["scales"].size == 1 and tensor["dtype"] == np.int8
    ]
    for scale, zero in steps:
        assert any(scale == pytest.approx(other, rel=1e-5) and zero == point for other, point in theirs)


def test_weights_have_one_scale_where_channels_share_it(bench: Bench) -> None:
    scheme = SchemeConfig(per_channel=False)
    per_tensor = torch.ops.quantized_decomposed.dequantize_per_tensor.default
    weights = [
        node.args[1].target
        for node in bench.quantised(scheme).graph.nodes
        if node.target in (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
    ]
    assert weights == [per_tensor] * (CONVOLUTIONS + LINEARS)
    kernels = [tensor for tensor in _tensors(bench.tflite(scheme)) if len(tensor["shape"]) == 4]
    assert {tensor["quantization_parameters"]["scales"].size for tensor in kernels} <= {0, 1}


def test_a_tensor_that_only_one_graph_has_is_measured_there(bench: Bench) -> None:
    """Without the sites, LiteRT measures all for itself, and comes to the same ranges."""
    from quantize.ops import tflite_steps

    with divert_output(bench.folder / "log"):
        own = bench.litert.quantise(bench.float_tflite, "features", bench.features.numpy())
    (bench.folder / "own.tflite").write_bytes(own)
    shared = tflite_steps(bench.tflite(SchemeConfig()))
    for name, steps in tflite_steps(bench.folder / "own.tflite").items():
        assert steps.scale == pytest.approx(shared[name].scale, rel=1e-4)
