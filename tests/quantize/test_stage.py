"""The quantize stage on real clips: what it writes, that it is INT8, and that its gate holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.fx import GraphModule

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.errors import ContractError, GateError
from acula_edge.frontend import log_mel
from acula_edge.runtime.runner import open_runner
from acula_edge.students.float_files import FLOAT_FILES
from acula_edge.students.store import load_student
from quantize import stage
from quantize.config import QuantizeConfig
from quantize.gates_config import GatesConfig, Least
from quantize.stage import QuantizeInputs, run
from tests.quantize.conftest import Graph

MODELS = (
    "float.pte",
    "float.tflite",
    "model.onnx",
    "model.pte",
    "model.tflite",
    "model_pcm.pte",
    "model_pcm.tflite",
)
EVIDENCE = (
    "calibration.json",
    "ops.json",
    "parity.json",
    "fidelity.json",
    "thresholds.json",
    "gates.json",
    "graph.safetensors",
    "graph.onnx",
)
CONVOLUTIONS, LINEARS = 15, 2  # of the student


@pytest.fixture(scope="module")
def student(mini_quantized: Artifact) -> Artifact:
    return Artifact.open(mini_quantized.path.parent / "student")


def test_the_artifact_is_whole_and_carries_the_contract(
    mini_quantized: Artifact, student: Artifact, mini_dataset: Artifact
) -> None:
    handed_on = set(FLOAT_FILES)
    names = {entry.name for entry in mini_quantized.manifest.files}
    assert names == {*MODELS, *handed_on, *EVIDENCE}
    for name in handed_on:
        assert mini_quantized.file(name).read_bytes() == student.file(name).read_bytes()
    assert mini_quantized.verify() == []
    assert mini_quantized.manifest.contract == student.manifest.contract
    assert mini_quantized.manifest.parents == (student.parent, mini_dataset.parent)


def test_float_graphs_equal_the_eager_student_on_real_clips(
    mini_quantized: Artifact, student: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    clips = spread_clips(dataset, Split.VAL, 10, seed=7)  # not the clips of the stage's own gate
    features = np.ascontiguousarray(log_mel(clips.pcm, dataset.contract)[:, None])
    with torch.no_grad():
        embedding, logits = load_student(student)(torch.from_numpy(features))
    for name in ("float.pte", "float.tflite", "model.onnx"):
        found = open_runner(mini_quantized.file(name)).run(features)
        np.testing.assert_allclose(found.embedding, embedding.numpy(), atol=1e-4)
        np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4)


def test_every_hop_is_reported_with_real_clips_and_keeps_its_bound(mini_quantized: Artifact) -> None:
    evidence = mini_quantized.read_json("parity.json")
    hops = {hop["name"]: hop for hop in evidence["hops"]}
    assert list(hops) == [
        "eager float = float.pte",
        "eager float = float.tflite",
        "eager float = model.onnx",
        "model.pte = model.tflite",
        "model.pte = graph.onnx",
        "model.pte = model_pcm.pte",
        "model.tflite = model_pcm.tflite",
        "eager float = model.pte",
        "eager float = model.tflite",
    ]
    assert all(hop["passed"] for hop in hops.values())
    assert hops["model.pte = model.tflite"]["worst"] >= 0.99
    assert {hop["recording"] for hop in hops.values()} <= set(evidence["clips"])
    # A cosine of .99 says nothing about an embedding that is the same for every sound.
    assert evidence["different_clips_median_cosine"] < 0.95


def test_int8_is_really_int8(mini_quantized: Artifact) -> None:
    from ai_edge_litert.interpreter import Interpreter

    sizes = {entry.name: entry.bytes for entry in mini_quantized.manifest.files}
    # A quarter, and what does not shrink: names, grids, int32 biases of a network of a few thousand weights.
    assert sizes["model.pte"] < 0.45 * sizes["float.pte"]
    assert sizes["model.tflite"] < 0.45 * sizes["float.tflite"]
    interpreter = Interpreter(model_path=str(mini_quantized.file("model.tflite")))
    interpreter.allocate_tensors()
    weights = [
        tensor
        for tensor in interpreter.get_tensor_details()
        if tensor["quantization_parameters"]["scales"].size > 1 and len(tensor["shape"]) > 1
    ]
    assert len(weights) == CONVOLUTIONS + LINEARS
    assert {tensor["dtype"] for tensor in weights} == {np.int8}


def test_golden_op_counts(mini_quantized: Artifact) -> None:
    ops = mini_quantized.read_json("ops.json")
    assert ops["model.pte"]["int8"] == {"conv2d": CONVOLUTIONS, "linear": LINEARS}
    assert ops["model.pte"]["floating"] == {}
    assert (ops["model.pte"]["delegates"], ops["model.pte"]["undelegated"]) == (1, {})
    assert ops["model.pte"]["before"]["hardtanh"] == CONVOLUTIONS
    assert ops["model.pte"]["delegated"]["convolution"] == CONVOLUTIONS
    assert ops["float.pte"]["floating"] == {"conv2d": CONVOLUTIONS, "linear": LINEARS}

    assert ops["model_pcm.pte"]["int8"] == {"conv2d": CONVOLUTIONS, "linear": LINEARS}
    assert ops["model_pcm.pte"]["floating"] == {"conv1d": 2}  # DFT and mel filters
    assert ops["model_pcm.pte"]["delegates"] == 2
    assert ops["model_pcm.pte"]["undelegated"] == {"_to_dim_order_copy": 1, "unsqueeze_copy": 2}

    tflite = ops["model.tflite"]
    assert tflite["int8"]["CONV_2D"] + tflite["int8"]["DEPTHWISE_CONV_2D"] == CONVOLUTIONS
    assert tflite["int8"]["FULLY_CONNECTED"] == LINEARS
    assert tflite["floating"] == {"DEQUANTIZE": 2}
    assert (tflite["delegates"], tflite["undelegated"]) == (1, {})

    pcm = ops["model_pcm.tflite"]
    assert pcm["int8"] == tflite["int8"]
    assert {"LOG", "CONV_2D", "DEPTHWISE_CONV_2D"} <= set(pcm["floating"])
    assert (pcm["delegates"], pcm["undelegated"]) == (1, {"CAST": 1})


def test_calibration_tells_what_each_tensor_held(mini_quantized: Artifact, mini_dataset: Artifact) -> None:
    found = mini_quantized.read_json("calibration.json")
    dataset = Dataset.open(mini_dataset)
    assert set(found["clips"]) <= {recording.id for recording in dataset.of(Split.TRAIN)}
    tensors = {entry["tensor"]: entry for entry in found["tensors"]}
    assert len(tensors) == 1 + CONVOLUTIONS + 1 + LINEARS  # features, convolutions, mean, linear layers
    pcm = spread_clips(dataset, Split.TRAIN, 64, seed=0).pcm
    features = log_mel(pcm, dataset.contract)
    heard = tensors["features"]
    assert (heard["min"], heard["max"]) == (features.min(), features.max())
    assert heard["quantiles"]["0.99"] == pytest.approx(np.quantile(features, 0.99), abs=0.01)
    assert {entry["outside"] for entry in tensors.values()} == {0.0}  # min-max leaves nothing outside


def test_tensors_name_shape_type_and_grid(mini_quantized: Artifact) -> None:
    tensors = {spec.name: spec for spec in mini_quantized.manifest.tensors}
    assert {name.split(":")[0] for name in tensors} == set(MODELS)
    assert tensors["model.pte:features"].shape == (1, 1, 48, 249)
    assert tensors["model_pcm.tflite:pcm"].shape == (1, 32000)
    assert tensors["model_pcm.tflite:pcm"].dtype == "int16"
    assert tensors["model_pcm.tflite:pcm"].scale is None
    assert tensors["model.onnx:logits"].scale is None
    for name in ("features", "embedding", "logits"):
        pte, tflite = tensors[f"model.pte:{name}"], tensors[f"model.tflite:{name}"]
        assert pte.dtype == tflite.dtype == "float32"
        assert pte.scale is not None
        # Both back ends saw the same extremes of the same clips.
        assert pte.scale == pytest.approx(tflite.scale, rel=1e-4)
        assert pte.zero_point == tflite.zero_point


@pytest.mark.parametrize("name", ["model.pte", "model.tflite"])
def test_outputs_lie_on_the_grid_that_the_manifest_states(
    mini_quantized: Artifact, mini_bundle: Artifact, name: str
) -> None:
    tensors = {spec.name: spec for spec in mini_quantized.manifest.tensors}
    with np.load(mini_bundle.file("golden.npz")) as golden:
        outputs = open_runner(mini_quantized.file(name)).run(golden["features"])
    for field, values in (("embedding", outputs.embedding), ("logits", outputs.logits)):
        spec = tensors[f"{name}:{field}"]
        assert spec.scale is not None
        assert spec.zero_point is not None
        levels = values / spec.scale + spec.zero_point
        np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)
        assert levels.min() >= -128.001
        assert levels.max() <= 127.001


def test_int32_samples_give_the_same_bits_as_int16(mini_quantized: Artifact, mini_bundle: Artifact) -> None:
    import executorch.kernels.quantized  # noqa: F401 (registers the INT8 kernels)
    from executorch.extension.pybindings import _C

    with np.load(mini_bundle.file("golden.npz")) as golden:
        pcm = torch.from_numpy(golden["pcm"][:4])
    program = _C._load_program(str(mini_quantized.file("model_pcm.pte")))
    wide = program.load_method("forward_int32")
    expected = open_runner(mini_quantized.file("model_pcm.pte")).run(pcm.numpy())
    for index in range(4):
        embedding, logits = wide([pcm[index : index + 1].to(torch.int32)])
        assert np.array_equal(embedding[0].numpy(), expected.embedding[index])
        assert np.array_equal(logits[0].numpy(), expected.logits[index])


def test_the_onnx_copy_holds_no_trace_of_the_machine(mini_quantized: Artifact) -> None:
    content = mini_quantized.file("model.onnx").read_bytes()
    for trace in (os.getcwd(), sys.prefix, str(mini_quantized.path), "site-packages"):
        assert trace.encode() not in content


def test_a_fresh_process_writes_the_same_bytes(
    mini_quantized: Artifact, student: Artifact, mini_dataset: Artifact, tmp_path: Path
) -> None:
    code = f"""
from pathlib import Path
from acula_edge.artifact import Artifact
from quantize.config import QuantizeConfig
from quantize.gates_config import GatesConfig, Least
from quantize.stage import QuantizeInputs, run
student = Artifact.open(Path({str(student.path)!r}))
inputs = QuantizeInputs(student, Artifact.open(Path({str(mini_dataset.path)!r})))
config = QuantizeConfig.model_validate({mini_quantized.manifest.config!r})
print(run(config, inputs, Path({str(tmp_path / "again")!r})).digest)
"""
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(Path(stage.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=env
    )
    again = Artifact.open(tmp_path / "again")
    assert again.manifest.files == mini_quantized.manifest.files
    # The converters print pages; stdout carries what the caller prints.
    assert done.stdout == f"{again.digest}\n"


def _exported_before(quantized: Artifact, swap: dict[str, str], quantised: GraphModule) -> object:
    """Stands for the converters: files made before, some of them under another's name."""

    def export_all(
        _student: object, _prepared: object, _pcm: object, _contract: object, folder: Path
    ) -> object:
        from quantize.export import Exported

        for name in MODELS:
            content = quantized.file(swap.get(name, name)).read_bytes()
            (folder / name).write_bytes(content)
        return Exported({}, (), quantised)

    return export_all


@pytest.mark.parametrize(
    ("swap", "hop"),
    [
        ({"float.tflite": "model.tflite"}, "eager float = float.tflite: max abs error"),
        ({"float.pte": "model.pte"}, "eager float = float.pte: max abs error"),
    ],
)
def test_a_planted_fault_fails_the_gate_and_the_files_are_kept(
    mini_quantized: Artifact,
    student: Artifact,
    mini_dataset: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    graph: Graph,
    swap: dict[str, str],
    hop: str,
) -> None:
    exported = _exported_before(mini_quantized, swap, graph.quantised)
    monkeypatch.setattr("quantize.export.export_all", exported)
    out = tmp_path / "quantized"
    with pytest.raises(GateError, match=hop) as caught:
        run(QuantizeConfig(parity_clips=6), QuantizeInputs(student, mini_dataset), out)
    assert caught.value.exit_code == 3
    assert "clip of" in str(caught.value)
    assert not out.exists()
    kept = tmp_path / ".quantized.work" / "rejected"
    assert {path.name for path in kept.iterdir()} >= {*MODELS, "parity.json"}


def test_a_missed_gate_keeps_the_files_and_names_a_layer(
    mini_quantized: Artifact,
    student: Artifact,
    mini_dataset: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    graph: Graph,
) -> None:
    monkeypatch.setattr("quantize.export.export_all", _exported_before(mini_quantized, {}, graph.quantised))
    config = QuantizeConfig(parity_clips=6, gates=GatesConfig(min_embedding_cka=Least(mean=1.0)))
    with pytest.raises(GateError, match=r"min_embedding_cka of model\.pte \(mean\) is 0\.9") as caught:
        run(config, QuantizeInputs(student, mini_dataset), tmp_path / "quantized")
    assert caught.value.exit_code == 3
    assert re.search(r'quantize\.scheme\.float_modules = \["[a-z0-9.]+"\]', str(caught.value))
    kept = tmp_path / ".quantized.work" / "rejected"
    assert {path.name for path in kept.iterdir()} >= {*MODELS, *EVIDENCE}
    assert not (tmp_path / "quantized").exists()


def test_a_failing_converter_shows_the_end_of_its_log(
    student: Artifact,
    mini_dataset: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        os.write(2, b"what the converter says\n")
        raise RuntimeError("no kernel")

    monkeypatch.setattr("quantize.export.export_all", fail)
    with pytest.raises(RuntimeError, match="no kernel"):
        run(QuantizeConfig(parity_clips=2), QuantizeInputs(student, mini_dataset), tmp_path / "q")
    captured = capsys.readouterr()
    assert "what the converter says" in captured.err
    assert captured.out == ""


def test_another_front_end_is_refused(student: Artifact, mini_dataset: Artifact, tmp_path: Path) -> None:
    contract = AudioContract.of(student.manifest.contract)
    other = AudioContract.make(**{**contract.model_dump(), "hop_samples": 100})
    with ArtifactWriter(tmp_path / "student") as writer:
        for entry in student.manifest.files:
            (writer.path / entry.name).write_bytes(student.file(entry.name).read_bytes())
        description = Description(kind=ArtifactKind.STUDENT, key="k", contract=other.model_dump(mode="json"))
        changed = writer.commit(description)
    with pytest.raises(ContractError, match="hop_samples 128 / 100"):
        run(QuantizeConfig(), QuantizeInputs(changed, mini_dataset), tmp_path / "out")
