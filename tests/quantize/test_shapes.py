"""A student with all that `small` lacks goes through quantisation: INT8 and delegated from end to end.

Widened blocks with a skip, a kernel of 5, a layer on top, and the padding of a causal student.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.frontend import log_mel
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import open_runner
from acula_edge.students.config import Block, StudentConfig
from acula_edge.students.student import Student
from quantize import parity
from quantize.config import QuantizeConfig
from quantize.forcing import Forced
from quantize.graphs import NamedFeatures
from quantize.layers import Walk, float_weights, layers_of
from quantize.ops import OpTable, Steps, tflite_ops, tflite_steps
from quantize.proof import eager
from quantize.pte_layers import read_pte
from quantize.scheme import SchemeConfig
from quantize.tflite_layers import TfliteGraph
from tests.recordings import needs_recordings
from tests.students.shapes import heard

MIXED = StudentConfig(
    stem_channels=8,
    blocks=(
        Block(channels=12, kernel=5, frame_stride=2),
        Block(channels=12, kernel=5, expansion=2),
        Block(channels=16, expansion=3, mel_stride=2, frame_stride=2),
    ),
    top_channels=24,
    embedding_dim=16,
    causal=True,
)
CONVOLUTIONS, LINEARS, PADDINGS, SKIPS = 10, 2, 4, 1


@pytest.fixture(scope="module")
def dataset(mini_dataset: Artifact) -> Dataset:
    return Dataset.open(mini_dataset)


@pytest.fixture(scope="module")
def student(dataset: Dataset) -> Student:
    return heard(MIXED, _features(dataset, Split.TRAIN), n_logits=4)


@dataclass(frozen=True)
class Files:
    """The INT8 files that take features, as the stage makes them: op tables, and grids at the border."""

    folder: Path
    pte: OpTable
    tflite: OpTable
    pte_grids: dict[str, Steps]
    quantised: GraphModule


@pytest.fixture(scope="module")
def exported(dataset: Dataset, student: Student, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("mixed")
    features = _features(dataset, Split.TRAIN)
    with divert_output(folder / "log"):
        from quantize import executorch, litert

        quantised = executorch.quantise(student, features)
        lowered = executorch.lower(quantised, forward=features[:1])
        (folder / "model.pte").write_bytes(lowered.program)
        float_model = litert.convert(NamedFeatures(student), "features", features[:1])
        (folder / "float.tflite").write_bytes(float_model)
        (folder / "model.tflite").write_bytes(litert.quantise(float_model, "features", features.numpy()))
        tflite = tflite_ops(folder / "float.tflite", folder / "model.tflite")
        return Files(folder, lowered.ops, tflite, executorch.border_steps(quantised), quantised)


def _features(dataset: Dataset, split: Split) -> Tensor:
    pcm = spread_clips(dataset, split, 48, seed=0).pcm
    return torch.from_numpy(np.ascontiguousarray(log_mel(pcm, dataset.contract)[:, None]))


@needs_recordings
def test_int8_files_agree_with_each_other_and_with_the_student_on_real_clips(
    dataset: Dataset, student: Student, exported: Files
) -> None:
    features = _features(dataset, Split.VAL).numpy()
    floating = eager(student, features)
    pte, tflite = (
        open_runner(exported.folder / name).run(features) for name in ("model.pte", "model.tflite")
    )
    for one, other in ((pte, tflite), (floating, pte), (floating, tflite)):
        assert parity.cosines(one.embedding, other.embedding).min() > QuantizeConfig().min_int8_cosine
    assert parity.different_clips(floating) < 0.95


def test_both_files_have_the_same_grids_at_the_border(exported: Files) -> None:
    tflite = tflite_steps(exported.folder / "model.tflite")
    assert set(tflite) == set(exported.pte_grids) == {"features", "embedding", "logits"}
    for name, steps in exported.pte_grids.items():
        assert steps.scale == pytest.approx(tflite[name].scale, rel=1e-4)
        assert steps.zero_point == tflite[name].zero_point


def test_golden_op_counts(exported: Files) -> None:
    pte, tflite = exported.pte, exported.tflite
    assert pte.int8 == {"conv2d": CONVOLUTIONS, "linear": LINEARS}
    assert (pte.floating, pte.delegates, pte.undelegated) == ({}, 1, {})
    assert (pte.before["pad"], pte.before["add"]) == (PADDINGS, SKIPS)
    assert (pte.delegated["constant_pad_nd"], pte.delegated["add"]) == (PADDINGS, SKIPS)
    assert tflite.int8["CONV_2D"] + tflite.int8["DEPTHWISE_CONV_2D"] == CONVOLUTIONS
    assert tflite.int8["FULLY_CONNECTED"] == LINEARS
    assert tflite.int8["PAD"] >= PADDINGS
    assert (tflite.floating, tflite.delegates, tflite.undelegated) == ({"DEQUANTIZE": 2}, 1, {})


def test_its_layers_are_walked_in_every_form(dataset: Dataset, student: Student, exported: Files) -> None:
    """Skips and paddings too: the graph in float is the student, and the files have the same layers."""
    layers = layers_of(exported.quantised)
    assert [layer.kind for layer in layers].count("add") == SKIPS
    features = _features(dataset, Split.VAL)[:3]
    walk = Walk(exported.quantised, float_weights(student, layers), everything=True)
    outputs = next(value for node, value in walk.values(features).items() if node.op == "output")
    with torch.no_grad():
        for one, other in zip(outputs, student(features), strict=True):
            assert (one - other).abs().max() < 1e-4
    kinds = [layer.kind for layer in layers]
    for name in ("float.tflite", "model.tflite"):
        assert [layer.kind for layer in TfliteGraph(exported.folder / name).layers] == kinds
    assert [layer.kind for layer in read_pte(exported.folder / "model.pte")] == kinds
    eager_values = Forced(exported.quantised, student, features[:1]).eager(student)
    assert list(eager_values) == [layer.name for layer in layers]


def test_a_padded_layer_stays_float_behind_one_on_a_grid(
    dataset: Dataset, student: Student, tmp_path: Path
) -> None:
    """XNNPACK refuses a float padding there: it is done on the grid, where zero lies."""
    features = _features(dataset, Split.TRAIN)[:8]
    with divert_output(tmp_path / "log"):
        from quantize import executorch

        quantised = executorch.quantise(student, features, SchemeConfig(float_modules=("trunk.3",)))
        lowered = executorch.lower(quantised, forward=features[:1])
    (tmp_path / "model.pte").write_bytes(lowered.program)
    found = open_runner(tmp_path / "model.pte").run(features.numpy())
    assert parity.cosines(eager(student, features.numpy()).embedding, found.embedding).min() > 0.97
    assert (lowered.ops.floating, lowered.ops.undelegated) == ({"conv2d": 3}, {})
