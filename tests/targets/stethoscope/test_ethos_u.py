"""Bundles for an Ethos-U: what Vela compiles, what it says of it, and what it can not place."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.build import BuildConfig, build
from acula_edge.errors import ArtifactError, ToolError
from targets.config import TargetConfig
from targets.stage import TargetInputs
from targets.stage import run as make_bundle
from targets.stethoscope import vela
from targets.stethoscope.cores import CORES
from targets.stethoscope.flatbuffer import read_operator_names
from targets.stethoscope.integer_model import integer_model
from targets.stethoscope.npu import NPUS
from targets.stethoscope.unexecuted import unexecuted
from targets.stethoscope.vela import Compiled, compile_for
from targets.stethoscope.verify import core_of
from tests.cli.conftest import Run, run  # noqa: F401
from tests.targets.stethoscope.host import Model

Compilations = dict[str, Compiled]


@pytest.fixture(scope="module")
def compiled(usual: Model) -> Compilations:
    """The usual student for every NPU."""
    model = integer_model(usual.path)
    return {name: compile_for(npu, model) for name, npu in NPUS.items()}


@pytest.fixture(scope="module")
def npu_bundle(
    mini_quantized: Artifact, mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    inputs = TargetInputs(mini_quantized, mini_dataset)
    config = TargetConfig(name="ethos-u55-128", golden_clips=2)
    return make_bundle(config, inputs, tmp_path_factory.mktemp("bundle") / "npu")


def test_the_integer_model_gives_the_bits_of_the_model(usual: Model, tmp_path: Path) -> None:
    """INT8 in and out, through LiteRT's reference kernels, on real clips."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    (tmp_path / "model.tflite").write_bytes(integer_model(usual.path))
    interpreter = Interpreter(
        model_path=str(tmp_path / "model.tflite"), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    run_it = interpreter.get_signature_runner()
    assert {name: spec["dtype"] for name, spec in run_it.get_input_details().items()} == {"features": np.int8}
    for steps, embedding, logits in zip(
        usual.features, usual.answers.embedding, usual.answers.logits, strict=True
    ):
        found = run_it(features=steps[None, None])
        np.testing.assert_array_equal(found["embedding"][0], embedding)
        np.testing.assert_array_equal(found["logits"][0], logits)


@pytest.mark.parametrize("name", sorted(NPUS))
def test_every_operator_is_placed(name: str, compiled: Compilations, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(compiled[name].model)
    assert read_operator_names(tmp_path / "model.tflite") == ("ethos-u",)
    assert compiled[name].unplaced == ()


def test_the_estimate_says_what_it_is(usual: Model, compiled: Compilations) -> None:
    for name, found in compiled.items():
        told = json.loads(json.dumps(found.to_json()))
        assert (told["kind"], told["executed"], told["accelerator"]) == ("compiler estimate", False, name)
        assert told["compiler"] == "ethos-u-vela 5.2.0"
        assert told["inference_us"] == pytest.approx(1e6 * told["cycles"] / told["clock_hz"], abs=1)
        assert told["flash_bytes"] > told["encoded_weight_bytes"] > 0
        assert told["sram_bytes"] > usual.firmware.network.features.size_bytes
    cycles = [compiled[f"ethos-u55-{macs}"].figures["npu_cycles"] for macs in (256, 128, 32)]
    assert cycles == sorted(cycles)
    macs = usual.firmware.network.macs
    assert compiled["ethos-u55-32"].figures["npu_cycles"] > macs / 32, "more than the hardware can do"


def test_what_the_npu_does_not_run_is_named(usual: Model) -> None:
    """With its float border, the model leaves three operators to the core."""
    found = compile_for(NPUS["ethos-u55-128"], usual.path.read_bytes())
    assert sorted(found.unplaced) == ["DEQUANTIZE", "DEQUANTIZE", "QUANTIZE"]


def test_a_model_that_vela_refuses_is_a_sentence() -> None:
    with pytest.raises(ArtifactError, match="Vela did not compile the model for Ethos-U55-32"):
        compile_for(NPUS["ethos-u55-32"], b"no flatbuffer")


def test_without_vela_a_build_ends_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        vela.importlib.util, "find_spec", lambda name: None if name == "ethosu" else find(name)
    )
    config = BuildConfig.load(None, "ethos-u55-128", None)
    with pytest.raises(
        ToolError, match=r"ethos-u-vela is not installed; run: pip install 'acula-edge\[npu\]'"
    ):
        build(config, None, tmp_path / "work", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert ToolError.exit_code == 4


def test_the_bundle_holds_library_and_compiled_network(npu_bundle: Artifact) -> None:
    names = {entry.name for entry in npu_bundle.manifest.files}
    own = {"model_int8.tflite", "model_vela.tflite", "estimate.json", "acula_tflite.c", "acula_operators.h"}
    assert {f"npu/{name}" for name in own} | {"include/acula.h", "src/acula_network.c"} <= names
    assert npu_bundle.verify() == []
    assert core_of(npu_bundle) is CORES["m55"]
    estimate = npu_bundle.read_json("npu/estimate.json")
    readme = npu_bundle.file("README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Acula bundle for a stethoscope with Cortex-M55 and Ethos-U55-128\n")
    assert "*compiler estimate*" in readme
    assert "**the compiled network was not executed here**" in readme
    assert f"| {estimate['cycles']} |" in readme
    assert "AddEthosU" in npu_bundle.file("npu/acula_operators.h").read_text(encoding="utf-8")


def test_verify_tells_of_the_compiled_network_that_it_was_not_executed(
    run: Run,  # noqa: F811
    npu_bundle: Artifact,
    tmp_path: Path,
) -> None:
    (file,) = unexecuted(npu_bundle)
    estimate = npu_bundle.read_json("npu/estimate.json")
    time = f"{estimate['inference_us'] / 1000:.2f} ms a clip at 500 MHz"
    expected = f"not executed here; compiler estimate for ethos-u55-128: {time} (ethos-u-vela 5.2.0)"
    assert (file.file, file.note) == ("npu/model_vela.tflite", expected)
    # The runtime is named, so that no board is needed.
    done = run("verify", npu_bundle.path, "--runtime", "tflite", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["not_executed"] == [file.to_json()]
    shown = run("verify", npu_bundle.path, "--runtime", "tflite").out
    (line,) = [line for line in shown.splitlines() if line.startswith(file.file)]
    assert "hash ok" in line
    assert expected in line
    damaged = Path(shutil.copytree(npu_bundle.path, tmp_path / "damaged"))
    (damaged / file.file).write_bytes(b"other")
    assert run("verify", damaged, "--runtime", "tflite").code == 3
