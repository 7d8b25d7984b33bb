"""bench: accuracy on an owner's folder, speed on this machine, and a base install without PyTorch."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from acula_edge.bench import latency
from acula_edge.bench.folder import FolderAccuracy
from acula_edge.bench.results import Performance
from acula_edge.runtime.runner import Runtime
from tests.cli.conftest import Run

# What a base install does not have.
BLOCKED = [
    "torch",
    "torchao",
    "executorch",
    "transformers",
    "safetensors",
    "onnx",
    "onnxruntime",
    "litert_torch",
    "ai_edge_quantizer",
    "neural_compressor",
    "sklearn",
    "scipy",
    "jinja2",
    "librosa",
]


def test_accuracy_on_a_folder(run: Run, mini_bundle: Artifact, mini_folder: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    done = run("bench", mini_bundle.path, "--data", mini_folder, "--out", scores, "--json")
    assert done.code == 0, done.err
    found = FolderAccuracy.model_validate_json(done.out)
    assert [system.system for system in found.accuracy.systems] == ["student", "int8_pte", "int8_tflite"]
    assert "warning: the model was built from this very folder" in done.err
    with scores.open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 3 * found.recordings


def test_accuracy_of_a_teacher_as_a_table(run: Run, mini_teacher: Artifact, mini_folder: Path) -> None:
    done = run("bench", mini_teacher.path, "--data", mini_folder)
    assert done.code == 0, done.err
    header, *rows = done.out.splitlines()
    assert all(title in header for title in ("Base encoder", "Shuffled-report control", "Aligned teacher"))
    assert rows[-1].startswith("mean")


def test_speed_of_the_runtimes_that_are_here(
    run: Run, mini_bundle: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "available", lambda runtime: runtime is Runtime.TFLITE)
    done = run("bench", mini_bundle.path, "--json")
    assert done.code == 0, done.err
    found = Performance.model_validate_json(done.out)
    assert {timing.file for timing in found.timings} == {"", "model.tflite", "model_pcm.tflite"}
    assert all(len(timing.samples_ms) == found.runs for timing in found.timings)
    assert "not measured: model.pte: ExecuTorch is not installed" in done.err


def test_what_can_not_be_measured_is_a_sentence(
    run: Run, mini_bundle: Artifact, mini_dataset: Artifact, mini_teacher: Artifact, tmp_path: Path
) -> None:
    assert "--data" in run("bench", mini_bundle.path, "--out", tmp_path / "scores.csv").err
    assert run("bench", mini_bundle.path, "--out", tmp_path / "scores.csv").code == 2
    assert "is a teacher artifact" in run("bench", mini_teacher.path).err
    assert run("bench", mini_dataset.path, "--data", tmp_path).code == 2
    done = run("bench", mini_bundle.path, "--data", tmp_path)
    assert done.code == 1
    assert "metadata.csv" in done.err


def test_base_install_verifies_predicts_and_benches(mini_bundle: Artifact, mini_folder: Path) -> None:
    def base(*args: str | Path) -> subprocess.CompletedProcess[str]:
        script = (
            f"import sys; sys.modules.update(dict.fromkeys({BLOCKED}))\n"
            "from acula_edge.cli import main; main(sys.argv[1:])"
        )
        line = [sys.executable, "-c", script, *map(str, args)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    verified = base("verify", mini_bundle.path, "--json")
    assert verified.returncode == 0, verified.stderr
    assert {check["runtime"] for check in json.loads(verified.stdout)["checks"]} == {"tflite"}
    recording = next(mini_folder.rglob("*.flac"), None) or next(mini_folder.rglob("*.wav"))
    predicted = base("predict", mini_bundle.path, recording, "--json")
    assert predicted.returncode == 0, predicted.stderr
    asked = base("predict", mini_bundle.path, recording, "--runtime", "pte")
    assert asked.returncode == 4
    assert "pip install 'acula-edge[build]'" in asked.stderr
    scored = base("bench", mini_bundle.path, "--data", mini_folder, "--json")
    assert scored.returncode == 0, scored.stderr
    found = FolderAccuracy.model_validate_json(scored.stdout)
    assert [system.system for system in found.accuracy.systems] == ["int8_tflite"]
    assert any("ExecuTorch is not installed" in warning for warning in found.warnings)
