"""doctor, targets, models and the plan of build."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from acula_edge import fetch
from acula_edge.errors import ToolError
from acula_edge.runtime.runner import Runtime
from acula_edge.weights import WEIGHTS
from targets.table import TARGETS
from tests.cli.conftest import Run


def test_doctor_knows_every_requirement_and_runtime(run: Run) -> None:
    checks = json.loads(run("doctor", "--json").out)
    found = {(check["group"], check["name"]): check["found"] for check in checks}
    assert found["base", "numpy"] == metadata.version("numpy")
    assert found["build", "torch"] == metadata.version("torch")
    assert {name for group, name in found if group == "weights"} == set(WEIGHTS)
    assert {name for group, name in found if group == "runtime"} == {f".{runtime}" for runtime in Runtime}
    assert found["machine", "memory"].endswith("GiB")


def test_doctor_says_how_to_mend_what_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ACULA_EDGE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("doctor")
    assert done.code == 0
    assert "missing: acula-edge models add minilm" in done.out
    assert "missing: runs a bundle on an Android phone" in done.out


def test_targets_lists_the_table(run: Run) -> None:
    assert [row["name"] for row in json.loads(run("targets", "--json").out)] == list(TARGETS)
    text = run("targets").out
    for target in TARGETS.values():
        assert target.description in text


def test_models_list_shows_what_is_here(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACULA_EDGE_HOME", str(tmp_path))
    rows = json.loads(run("models", "list", "--json").out)
    assert [row["name"] for row in rows] == list(WEIGHTS)
    assert not any(row["installed"] for row in rows)
    text = run("models", "list").out
    for weights in WEIGHTS.values():
        assert weights.licence in text


def test_models_list_finds_added_weights(run: Run, weights_home: Path) -> None:
    rows = {row["name"]: row["installed"] for row in json.loads(run("models", "list", "--json").out)}
    assert rows["minilm"]
    added = json.loads(run("models", "add", "minilm", "--json").out)
    assert added == {"minilm": str(weights_home / "minilm")}


def test_models_add_refuses_an_unknown_name_before_it_downloads(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(name: str) -> Path:
        raise ToolError(f"downloaded {name}")

    monkeypatch.setattr(fetch, "add", download)
    done = run("models", "add", "minilm", "gpt-9")
    assert done.code == 2
    assert "gpt-9" in done.err
    assert run("models", "add", "minilm").code == 4


def test_dry_run_prints_the_plan_and_writes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("build", "--target", "android", "--dry-run", "--json")
    assert done.code == 0, done.err
    stages = json.loads(done.out)["stages"]
    assert stages[0]["kind"] == "dataset"
    assert not any(stage["cached"] for stage in stages)
    assert run("build", "--target", "android", "--dry-run").out.count("will run") == len(stages)
    assert list(tmp_path.iterdir()) == []
