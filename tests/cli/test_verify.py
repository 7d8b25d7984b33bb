"""verify: whole, tampered, cut, and with a runtime missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from acula_edge.runtime import runner
from acula_edge.runtime.runner import Runtime
from tests.cli.conftest import Run


@pytest.fixture
def copy(mini_bundle: Artifact, tmp_path: Path) -> Path:
    """A bundle to damage."""
    return Path(shutil.copytree(mini_bundle.path, tmp_path / "bundle"))


def test_whole_bundle_passes_in_every_runtime(run: Run, mini_bundle: Artifact) -> None:
    done = run("verify", mini_bundle.path, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["passed"]
    assert found["digest"] == mini_bundle.digest
    assert {check["runtime"] for check in found["checks"]} == set(Runtime)
    assert found["not_checked"] == []
    assert "FAILED" not in run("verify", mini_bundle.path).out


def test_one_runtime_may_be_asked_for(run: Run, mini_bundle: Artifact) -> None:
    found = json.loads(run("verify", mini_bundle.path, "--runtime", "tflite", "--json").out)
    assert {check["runtime"] for check in found["checks"]} == {"tflite"}
    assert sorted(found["not_checked"]) == ["onnx", "pte"]


@pytest.mark.parametrize("name", ["model.tflite", "labels.json", "golden.npz"])
def test_one_changed_byte_is_exit_3(run: Run, copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    done = run("verify", copy, "--json")
    assert done.code == 3
    assert name in done.err
    found = json.loads(done.out)
    assert not found["passed"]
    assert found["problems"] == [f"{name} was changed after it was written"]
    assert "FAILED" in run("verify", copy).out


def test_missing_cut_and_added_files_are_exit_3(run: Run, copy: Path) -> None:
    (copy / "note.txt").write_text("mine")
    assert "note.txt" in run("verify", copy).err
    assert run("verify", copy).code == 3
    (copy / "model.pte").write_bytes((copy / "model.pte").read_bytes()[:-1])
    assert run("verify", copy).code == 3
    (copy / "model.pte").unlink()
    done = run("verify", copy)
    assert done.code == 3
    assert "model.pte is missing" in done.err


def test_other_folders_are_exit_1(run: Run, mini_dataset: Artifact, tmp_path: Path) -> None:
    done = run("verify", tmp_path)
    assert done.code == 1
    assert "is not an artifact" in done.err
    done = run("verify", mini_dataset.path)
    assert done.code == 1
    assert "is a dataset artifact, not a bundle" in done.err


def test_runtime_that_is_not_installed(
    run: Run, mini_bundle: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "available", lambda runtime: runtime is not Runtime.PTE)
    done = run("verify", mini_bundle.path)
    assert done.code == 0
    assert ".pte" in done.out
    assert "not checked" in done.out
    asked = run("verify", mini_bundle.path, "--runtime", "pte")
    assert asked.code == 4
    assert "pip install 'acula-edge[build]'" in asked.err
