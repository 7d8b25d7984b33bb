"""What differs from the default goes from the student to a verified bundle, with every proof and gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.errors import ArtifactError
from acula_edge.runtime.golden import verify_bundle
from acula_edge.runtime.runner import Form, Runtime
from acula_edge.students.config import AttentionBlock, Block, StudentConfig
from acula_edge.students.families import FAMILIES
from quantize.config import QuantizeConfig
from quantize.qat_config import QatConfig
from quantize.scheme import Scheme, SchemeConfig
from targets.config import TargetConfig
from targets.stage import TargetInputs
from targets.stage import run as run_target
from tests.models import NO_GATES, make_student

# The embedded default, as far as its second stride over mels.
_SMALL = FAMILIES["small"].config
SMALL = _SMALL.model_copy(update={"blocks": _SMALL.blocks[:3]})
# As small as the family `attention` can be.
ATTENTION = StudentConfig(
    stem_channels=8,
    blocks=(
        Block(channels=16, mel_stride=2, frame_stride=2),
        Block(channels=24, mel_stride=2, frame_stride=2),
        AttentionBlock(heads=2, head_channels=8, expansion=2),
    ),
    embedding_dim=32,
)
QAT = QatConfig(clips=96, epochs=3, batch_size=12, learning_rate=1e-4, ema_decay=0.8)
LINES: dict[str, tuple[StudentConfig, SchemeConfig]] = {
    # What differs most from the default in each runtime: no grid in the .pte, 16-bit grids in the .tflite,
    # and in both a module in float.
    "other schemes": (
        SMALL,
        SchemeConfig(pte=Scheme.DYNAMIC, tflite=Scheme.INT16, float_modules=("trunk.2",)),
    ),
    "QAT": (SMALL, SchemeConfig(qat=QAT)),
    "attention": (ATTENTION, SchemeConfig()),
}


@dataclass(frozen=True)
class Line:
    """What the stages made: the INT8 graphs, and the Android bundle."""

    quantized: Artifact
    bundle: Artifact


@pytest.fixture(scope="module")
def line_of(mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Line]:
    from quantize.stage import QuantizeInputs, run

    @cache
    def make(name: str) -> Line:
        folder, (student_config, scheme) = tmp_path_factory.mktemp("line"), LINES[name]
        student = make_student(mini_dataset, folder / "student", student_config)
        config = QuantizeConfig(scheme=scheme, calibration_clips=64, parity_clips=4, gates=NO_GATES)
        quantized = run(config, QuantizeInputs(student, mini_dataset), folder / "quantized")
        inputs = TargetInputs(quantized, mini_dataset)
        return Line(quantized, run_target(TargetConfig(golden_clips=4), inputs, folder / "android"))

    return make


@pytest.mark.parametrize("name", LINES)
def test_the_bundle_is_verified(name: str, line_of: Callable[[str], Line]) -> None:
    checks = verify_bundle(line_of(name).bundle, list(Runtime))
    assert {(check.runtime, check.form) for check in checks} == {
        (Runtime.PTE, Form.FEATURES),
        (Runtime.PTE, Form.PCM),
        (Runtime.TFLITE, Form.FEATURES),
        (Runtime.TFLITE, Form.PCM),
        (Runtime.ONNX, Form.FEATURES),
    }
    assert all(check.passed for check in checks)


@pytest.mark.parametrize("name", LINES)
def test_bisect_finds_no_fault(name: str, line_of: Callable[[str], Line], mini_dataset: Artifact) -> None:
    from quantize.bisect import bisect, first_fault

    pcm = spread_clips(Dataset.open(mini_dataset), Split.VAL, 1, seed=3).pcm
    hops = bisect(line_of(name).bundle, pcm)
    assert first_fault(hops) is None
    assert ("eager float -> retrained float" in [hop.name for hop in hops]) == (name == "QAT")


def test_the_proof_tells_of_the_scheme(line_of: Callable[[str], Line]) -> None:
    quantized = line_of("other schemes").quantized
    ops = quantized.read_json("ops.json")
    assert ops["model.pte"]["floating"]["conv2d"] >= 2  # depthwise layers, and trunk.2
    assert ops["model.tflite"]["floating"]["CONV_2D"] == 1
    layers = {row["layer"]: row for row in quantized.read_json("fidelity.json")["layers"]["model.tflite"]}
    assert layers["trunk.2.1"]["weight_scales"] is None
    assert layers["trunk.3.1"]["weight_scales"] is not None


def test_both_runtimes_get_the_weights_that_qat_trained(line_of: Callable[[str], Line]) -> None:
    line = line_of("QAT")
    training = line.quantized.read_json("calibration.json")["qat"]
    assert training["error_after"] < training["error_before"]
    assert len(training["history"]) == 3
    assert line.bundle.has("retrained.safetensors")
    hops = {hop["name"]: hop["worst"] for hop in line.quantized.read_json("parity.json")["hops"]}
    for file in ("model.pte", "model.tflite"):
        assert hops[f"eager float = {file}"] > 0.97
        table = line.quantized.read_json("ops.json")[file]
        assert (table["delegates"], table["undelegated"]) == (1, {})


def test_attention_is_delegated_whole_and_float_between_int8_projections(
    line_of: Callable[[str], Line],
) -> None:
    quantized = line_of("attention").quantized
    ops = quantized.read_json("ops.json")
    for file in ("model.pte", "model.tflite"):
        assert (ops[file]["delegates"], ops[file]["undelegated"]) == (1, {})
    pte, tflite = ops["model.pte"], ops["model.tflite"]
    assert (pte["int8"], pte["floating"]) == ({"conv2d": 11, "linear": 2}, {})
    assert (pte["delegated"]["bmm"], pte["delegated"]["_softmax"]) == (2, 1)
    assert tflite["int8"]["CONV_2D"] + tflite["int8"]["DEPTHWISE_CONV_2D"] == 11
    assert tflite["floating"].keys() == {"BATCH_MATMUL", "SOFTMAX", "RESHAPE", "DEQUANTIZE"}
    hops = {hop["name"]: hop["worst"] for hop in quantized.read_json("parity.json")["hops"]}
    for file in ("model.pte", "model.tflite"):
        assert hops[f"eager float = {file}"] > 0.97
    kinds = {row["layer"]: row["kind"] for row in quantized.read_json("fidelity.json")["layers"]["model.pte"]}
    assert kinds["trunk.3.0.attention.scores product"] == "product"
    assert kinds["trunk.3.0.attention.softmax softmax"] == "softmax"


def test_a_stethoscope_refuses_attention_by_its_operators(
    line_of: Callable[[str], Line], mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> None:
    inputs = TargetInputs(line_of("attention").quantized, mini_dataset)
    with pytest.raises(ArtifactError, match="the C code has no operator BATCH_MATMUL, SOFTMAX, TRANSPOSE"):
        run_target(TargetConfig(name="stethoscope-m4"), inputs, tmp_path_factory.mktemp("m4") / "out")
