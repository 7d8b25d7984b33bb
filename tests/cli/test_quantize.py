"""`acula-edge quantize` on a real bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.build import BuildConfig
from acula_edge.evidence.fidelity import Fidelity
from acula_edge.runtime.hop import Difference, Hop
from quantize.config import QuantizeConfig
from tests.cli.conftest import Run


def test_inspect_shows_every_layer_of_bundle_and_graphs(
    run: Run, mini_bundle: Artifact, mini_quantized: Artifact
) -> None:
    shown = run("quantize", "inspect", str(mini_bundle.path))
    assert shown.code == 0
    assert shown.out == run("quantize", "inspect", str(mini_quantized.path)).out
    found = Fidelity.model_validate(mini_bundle.read_json("fidelity.json"))
    rows = shown.out.splitlines()
    for layer in found.layers["model.pte"]:
        assert any(row.split()[:2] == [layer.layer, layer.kind] for row in rows)
    assert "Research software, not a medical device." in shown.out


def test_inspect_as_json_is_the_files(run: Run, mini_bundle: Artifact) -> None:
    shown = run("quantize", "inspect", str(mini_bundle.path), "--json")
    files = {name: mini_bundle.read_json(f"{name}.json") for name in ("fidelity", "gates")}
    assert json.loads(shown.out) == files


def test_inspect_of_something_else_says_so(run: Run, mini_dataset: Artifact) -> None:
    shown = run("quantize", "inspect", str(mini_dataset.path))
    assert shown.code == 1
    assert "lists no file fidelity.json" in shown.err


def test_bisect_names_hops_and_the_first_fault(
    run: Run,
    mini_bundle: Artifact,
    mini_quantized: Artifact,
    mini_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The .onnx can not be read: the two hops that need it fail."""
    clip = next(path for path in sorted(mini_folder.rglob("*")) if path.suffix in {".wav", ".flac", ".ogg"})
    shutil.copytree(mini_bundle.path, tmp_path / "bundle")
    content = bytearray((tmp_path / "bundle" / "model.onnx").read_bytes())
    content[:64] = bytes(64)
    (tmp_path / "bundle" / "model.onnx").write_bytes(content)
    broken = run("quantize", "bisect", tmp_path / "bundle", clip)
    assert broken.code == 3
    assert "the first fault is in the hop eager float -> model.onnx" in broken.err
    assert "model.onnx was changed after it was written" in broken.err
    assert all("  FAILED  " in row for row in broken.out.splitlines()[1:3])
    assert broken.out.count("  ok  ") == 6

    hops = [
        Hop("a -> b", (Difference("stem", "steps", 1.0, 2.0),)),
        Hop("b -> c", (Difference("stem", "steps", 0.0, 2.0), Difference("head", "steps", 3.0, 2.0))),
    ]
    monkeypatch.setattr("quantize.bisect.bisect", lambda *_: hops.copy())
    monkeypatch.setattr("targets.stethoscope.host.shutil.which", lambda _tool: None)
    told = run("quantize", "bisect", mini_bundle.path, clip, "--json")
    assert told.code == 3
    assert "the first fault is in the hop b -> c: layer head differs by 3 (steps), bound 2" in told.err
    found = json.loads(told.out)
    assert [(hop["passed"], hop["first"]) for hop in found["hops"]] == [(True, None), (False, "head")]
    assert found["changed"] == []
    (reason,) = found["not_run"].values()
    assert reason == "gcc not found; run: apt install gcc libc6-dev"
    monkeypatch.setattr("quantize.bisect.bisect", lambda *_: hops[:1])
    sound = run("quantize", "bisect", mini_quantized.path, clip)
    assert sound.code == 0
    assert "not run: " in sound.out.splitlines()[-1]
    assert "is no bundle" in sound.out


def test_run_takes_a_given_student_and_trains_nothing(
    run: Run,
    mini_quantized: Artifact,
    mini_dataset: Artifact,
    mini_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its result for this very student lies in the work folder: it is found, and nothing else is made."""
    work = tmp_path / "work"
    for made in (mini_dataset, mini_quantized):
        shutil.copytree(made.path, work / f"{made.manifest.kind}-{made.manifest.key[:16]}")
    # A TOML file can not leave out a gate that is a single number.
    config = BuildConfig(quantize=QuantizeConfig.model_validate(mini_quantized.manifest.config))
    monkeypatch.setattr(BuildConfig, "load", lambda *_: config)
    student = mini_quantized.path.parent / "student"
    line = ("quantize", "run", student, "--data", mini_folder, "--work", work)
    done = run(*line, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert "teacher" not in done.err
    assert "quantized: cached" in done.err
    told = json.loads(done.out)
    assert told["digest"] == Artifact.open(tmp_path / "out", ArtifactKind.QUANTIZED).digest
    assert told["files"]["model.pte"] == mini_quantized.file("model.pte").stat().st_size
    again = run(*line, "--out", tmp_path / "out")
    assert again.code == 0
    assert "Mean AUROC on the validation patients" in again.out
    assert "Research software, not a medical device." in again.out
    (tmp_path / "taken").mkdir()
    taken = run(*line, "--out", tmp_path / "taken")
    assert taken.code == 1
    assert "exists already" in taken.err


def test_run_refuses_the_teacher_of_another_student(
    run: Run, mini_teacher: Artifact, mini_quantized: Artifact, tmp_path: Path
) -> None:
    student = mini_quantized.path.parent / "student"
    done = run("quantize", "run", student, "--teacher", mini_teacher.path, "--out", tmp_path / "out")
    assert done.code == 1
    assert "give its own teacher, or none" in done.err
    assert run("quantize", "run", tmp_path, "--out", tmp_path / "out").code == 1
