"""Another scheme than the default goes from the student to a verified bundle, with every proof and gate."""

from __future__ import annotations

import pytest

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.runtime.golden import verify_bundle
from acula_edge.runtime.runner import Form, Runtime
from quantize.config import QuantizeConfig
from quantize.scheme import Scheme, SchemeConfig
from tests.models import NO_GATES, make_student

# What differs most from the default in each runtime: no grid in the .pte, 16-bit grids in the .tflite, and in
# both a module in float.
SCHEME = SchemeConfig(pte=Scheme.DYNAMIC, tflite=Scheme.INT16, float_modules=("trunk.2",))


@pytest.fixture(scope="module")
def quantized(mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from quantize.stage import QuantizeInputs, run

    folder = tmp_path_factory.mktemp("whole_line")
    student = make_student(mini_dataset, folder / "student")
    config = QuantizeConfig(scheme=SCHEME, calibration_clips=16, parity_clips=4, gates=NO_GATES)
    return run(config, QuantizeInputs(student, mini_dataset), folder / "quantized")


@pytest.fixture(scope="module")
def bundle(quantized: Artifact, mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from targets.config import TargetConfig
    from targets.stage import TargetInputs, run

    inputs = TargetInputs(quantized, mini_dataset)
    return run(TargetConfig(golden_clips=4), inputs, tmp_path_factory.mktemp("whole_line") / "android")


def test_the_proof_tells_of_the_scheme(quantized: Artifact) -> None:
    ops = quantized.read_json("ops.json")
    assert ops["model.pte"]["floating"]["conv2d"] >= 2  # depthwise layers, and trunk.2
    assert ops["model.tflite"]["floating"]["CONV_2D"] == 1
    layers = {row["layer"]: row for row in quantized.read_json("fidelity.json")["layers"]["model.tflite"]}
    assert layers["trunk.2.1"]["weight_scales"] is None
    assert layers["trunk.3.1"]["weight_scales"] is not None


def test_the_bundle_is_verified(bundle: Artifact) -> None:
    checks = verify_bundle(bundle, list(Runtime))
    assert {(check.runtime, check.form) for check in checks} == {
        (Runtime.PTE, Form.FEATURES),
        (Runtime.PTE, Form.PCM),
        (Runtime.TFLITE, Form.FEATURES),
        (Runtime.TFLITE, Form.PCM),
        (Runtime.ONNX, Form.FEATURES),
    }
    assert all(check.passed for check in checks)


def test_bisect_finds_no_fault(bundle: Artifact, mini_dataset: Artifact) -> None:
    from quantize.bisect import bisect, first_fault

    pcm = spread_clips(Dataset.open(mini_dataset), Split.VAL, 1, seed=3).pcm
    assert first_fault(bisect(bundle, pcm)) is None
