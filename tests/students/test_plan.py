"""The plan against measurements of the real network: parameters, work, memory, flash."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from acula_edge.errors import UsageError
from acula_edge.runtime.divert import divert_output
from acula_edge.students.budget import Budget
from acula_edge.students.config import Block, StudentConfig
from acula_edge.students.families import FAMILIES
from acula_edge.students.plan import Plan, plan_of
from acula_edge.students.student import Student
from tests.students import liveness
from tests.students.shapes import ATTENDING, CONFIGS, heard, real_features

MELS, FRAMES, LOGITS = 48, 249, 20


def _student(config: StudentConfig, mels: int, frames: int, logits: int) -> tuple[Student, Plan]:
    return Student(config, mels, frames, logits).eval(), plan_of(config, mels, frames, logits)


def _assert_measured(student: Student, plan: Plan) -> None:
    """Against PyTorch's own counter, the weights themselves and the exported graph."""
    features = torch.zeros(1, 1, student.n_mels, student.n_frames)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        student(features)
    assert 2 * plan.macs == counter.get_total_flops()
    assert plan.parameters == sum(weight.numel() for weight in student.parameters())
    assert plan.peak_activation_bytes == liveness.of_module(student, features)


@pytest.mark.parametrize("name", FAMILIES)
def test_plan_of_a_family_is_what_its_network_takes(name: str) -> None:
    _assert_measured(*_student(FAMILIES[name].config, MELS, FRAMES, LOGITS))


@settings(max_examples=12)
@given(st.one_of(CONFIGS, ATTENDING), st.integers(3, 20), st.integers(32, 50), st.integers(1, 5))
def test_plan_of_any_shape_is_what_its_network_takes(
    config: StudentConfig, mels: int, frames: int, logits: int
) -> None:
    student, plan = _student(config, mels, frames, logits)
    _assert_measured(student, plan)
    last_map = next(layer for layer in reversed(plan.layers) if len(layer.shape) == 3)
    assert last_map.shape == student.trunk(torch.zeros(1, 1, mels, frames)).shape[1:]


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_keeps_its_own_bounds(name: str) -> None:
    assert FAMILIES[name].exceeds(plan_of(FAMILIES[name].config, MELS, FRAMES, LOGITS)) == []


def test_a_family_tells_which_of_its_bounds_is_broken() -> None:
    tiny = FAMILIES["tiny"]
    long, wide = (plan_of(tiny.config, MELS, *sizes) for sizes in ((2 * FRAMES, LOGITS), (FRAMES, 999)))
    assert tiny.exceeds(long) == [
        f"{long.peak_activation_bytes} bytes of activations, the family's bound 65536"
    ]
    assert tiny.exceeds(wide) == [f"{wide.parameters} parameters, the family's bound 40000"]


def test_a_small_net_by_hand() -> None:
    # 8 x 10 features: the stem's map is 4 x 5; so are the block's maps, twice as wide inside.
    config = StudentConfig(stem_channels=4, blocks=(Block(channels=4, expansion=2),), embedding_dim=3)
    plan = plan_of(config, 8, 10, 2)
    assert [(layer.name, layer.activation_bytes) for layer in plan.layers] == [
        ("stem", 80 + 80),
        ("block 1 widen", 80 + 160),
        ("block 1 depthwise", 160 + 160 + 80),
        ("block 1 pointwise", 160 + 80 + 80),
        ("block 1 add", 80 + 80 + 80),
        ("mean", 80 + 4),
        ("embedding", 4 + 3),
        ("head", 3 + 2),
    ]
    assert plan.peak_activation_bytes == plan.ram_bytes == 400
    weights = 4 * 9 + 4 * 8 + 8 * 9 + 8 * 4 + 4 * 3 + 3 * 2
    assert plan.flash_bytes == weights + 8 * (4 + 8 + 8 + 4 + 3 + 2)
    assert plan.macs == 20 * (4 * 9 + 4 * 8 + 8 * 9 + 8 * 4) + 4 * 3 + 3 * 2
    assert plan.state_bytes == plan.hop_activation_bytes == 0


def test_a_causal_student_holds_its_state_and_one_hop() -> None:
    config = StudentConfig(
        stem_channels=4, blocks=(Block(channels=6, frame_stride=2, kernel=5),), embedding_dim=3, causal=True
    )
    plan = plan_of(config, 8, 11, 2)
    # The stem keeps 1 frame of 8 mels, the block 5 - 2 frames of 4 channels x 4 mels; then sum and count.
    assert plan.state_bytes == 8 + 4 * 4 * 3 + 4 * (6 + 1)
    # A hop is 4 frames, 2 behind the stem and 1 behind the block.
    assert plan.hop_activation_bytes == max(4 * 8 + 4 * 4 * 2, 4 * 4 * 2 + 4 * 4, 4 * 4 + 6 * 4)
    assert plan.ram_bytes == plan.state_bytes + plan.hop_activation_bytes < plan.peak_activation_bytes
    with pytest.raises(UsageError, match="needs 4 frames; 3 are too few"):
        plan_of(config, 8, 3, 2)


def test_exceeds_names_each_limit_that_is_broken() -> None:
    plan = plan_of(FAMILIES["small"].config, MELS, FRAMES, LOGITS)
    fits = Budget(plan.ram_bytes, plan.flash_bytes, plan.macs / 1e6)
    assert plan.exceeds(Budget()) == plan.exceeds(fits) == []
    tight = Budget(plan.ram_bytes - 1, plan.flash_bytes - 1, plan.macs / 1e6 - 1e-6)
    assert [clause.split()[0] for clause in plan.exceeds(tight)] == ["RAM", "flash", "work"]
    assert plan.exceeds(Budget(ram_bytes=96 * 1024)) == ["RAM 105.75 KiB, budget 96.00 KiB"]


@pytest.fixture(scope="module")
def tiny_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The INT8 .tflite of `tiny`, calibrated on real clips."""
    features = real_features(6)
    student = heard(FAMILIES["tiny"].config, features)
    path = tmp_path_factory.mktemp("tiny") / "model.tflite"
    with divert_output(path.with_suffix(".log")):
        from quantize import litert
        from quantize.graphs import NamedFeatures

        model = litert.convert(NamedFeatures(student), "features", features[:1])
        path.write_bytes(litert.quantise(model, "features", features.numpy()))
    return path


def test_plan_equals_the_real_int8_file(tiny_tflite: Path) -> None:
    plan = plan_of(FAMILIES["tiny"].config, MELS, FRAMES, LOGITS)
    assert liveness.of_tflite(tiny_tflite, {"RESHAPE", "PAD"}) == plan.peak_activation_bytes
    weights = liveness.tflite_weights(tiny_tflite)
    scales = [weight["quantization_parameters"]["scales"].size for weight in weights]
    assert {weight["dtype"] for weight in weights} == {np.int8}
    # A float32 scale and an int32 bias for each output channel.
    assert plan.flash_bytes == sum(prod(weight["shape"]) for weight in weights) + (4 + 4) * sum(scales)


def test_tiny_fits_where_padding_is_copied_too(tiny_tflite: Path) -> None:
    copied = liveness.of_tflite(tiny_tflite, {"RESHAPE"})
    plan = plan_of(FAMILIES["tiny"].config, MELS, FRAMES, LOGITS)
    bound = FAMILIES["tiny"].max_activation_bytes
    assert bound is not None
    assert plan.peak_activation_bytes < copied <= bound
