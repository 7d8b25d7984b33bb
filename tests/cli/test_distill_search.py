"""distill search: a front within a budget, and a build of the best, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.build import BuildConfig
from distill.search_result import SearchResult
from tests.cli.conftest import Run

SETTINGS = """
[data]
surface_forms = 4

[teacher]
epochs = 3

[distill]
batch_size = 16
learning_rate = 1e-3
"""
BUDGET = ("--budget", "ram=96KiB,flash=256KiB,mmac=15")


def test_search_and_its_best_config(
    run: Run, mini_teacher: Artifact, mini_folder: Path, tmp_path: Path
) -> None:
    config, out = tmp_path / "settings.toml", tmp_path / "found"
    config.write_text(SETTINGS)
    places = ("--data", mini_folder, "--work", tmp_path / "work", "--config", config, "--out", out)
    call = ("distill", "search", mini_teacher.path, *BUDGET, *places, "--trials", "1", "--epochs", "1")
    done = run(*call, "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    artifact = Artifact.open(out, ArtifactKind.SEARCH)
    assert not artifact.verify()
    assert facts["digest"] == artifact.digest
    result = SearchResult.model_validate(artifact.read_json("search.json"))
    assert [trial["index"] for trial in facts["front"]] == list(result.front)
    assert "<svg" in (out / "front.html").read_text()

    best = BuildConfig.load(out / "best.toml", "android", None)
    choice = result.trial(result.best).choice
    assert best.data.contract == choice.contract()
    assert best.distill.student == choice.student()
    plain = BuildConfig.load(config, "android", None)
    assert (best.teacher, best.data.surface_forms) == (plain.teacher, plain.data.surface_forms)
    assert best.distill == plain.distill.model_copy(update={"student": choice.student()})

    taken = run(*call)
    assert taken.code == 1
    assert "found exists already; choose another --out or give --force" in taken.err
    again = run(*call, "--force")
    assert again.code == 0, again.err
    assert "Best of 1 trained students within the budget" in again.out
    assert "MMAC  RAM KiB  flash KiB" in again.out
    assert "trial 1/1" not in again.err  # nothing is trained again


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--budget", "rom=3KiB"), 2, "budget: 'rom=3KiB'"),
        (("--budget", "mmac=1", "--config", "no.toml"), 2, "no.toml can not be read"),
        (("no-such-teacher", "--budget", "mmac=1"), 1, "no-such-teacher is not an artifact"),
    ],
)
def test_mistakes_are_sentences(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    work = tmp_path / "work"
    done = run("distill", "search", *arguments, "--out", tmp_path / "found", "--work", work)
    assert done.code == code
    assert sentence in done.err
    assert not work.exists()


def test_missing_optuna_is_told_before_any_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    work = tmp_path / "work"
    done = run("distill", "search", *BUDGET, "--out", tmp_path / "found", "--work", work)
    assert done.code == 4
    assert "optuna is not installed; run: pip install 'acula-edge[search]'" in done.err
    assert not work.exists()
