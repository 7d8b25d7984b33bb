"""distill train: a student of a given teacher, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.students.families import FAMILIES
from acula_edge.students.space import TextSpace
from acula_edge.students.store import load_student
from tests.cli.conftest import Done, Run

BRIEF = """
[distill]
epochs = 2
batch_size = 16

[distill.augment]
views = 1
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "brief.toml"
    file.write_text(BRIEF)
    return file


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def _train(run: Run, teacher: Artifact, folder: Path, work: Path, *more: str | Path) -> Done:
    return run("distill", "train", teacher.path, "--data", folder, "--work", work, *more)


def test_student_of_a_teacher(
    run: Run, mini_teacher: Artifact, mini_folder: Path, config: Path, work: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    places = ("--out", out, "--config", config)
    done = _train(run, mini_teacher, mini_folder, work, *places, "--student", "tiny", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    student = Artifact.open(out, ArtifactKind.STUDENT)
    assert facts["digest"] == student.digest
    assert facts["epochs"] == 2
    assert set(facts["zero_shot"]) <= set(facts["validation"])
    assert mini_teacher.parent in student.manifest.parents
    model = load_student(student)
    assert model.config == FAMILIES["tiny"].config
    assert TextSpace.open(student).dim == model.config.embedding_dim
    again = _train(run, mini_teacher, mini_folder, work, *places, "--student", "tiny")
    assert again.code == 0, again.err
    assert "cached" in again.err
    assert "AUROC on the validation patients" in again.out
    assert "text prototypes" in again.out
    other = _train(run, mini_teacher, mini_folder, work, *places, "--student", "small")
    assert other.code == 1
    assert "exists already" in other.err


def test_teacher_of_other_recordings_is_refused(
    run: Run, mini_teacher: Artifact, mini_folder: Path, config: Path, work: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    done = _train(run, mini_teacher, mini_folder, work, "--out", out, "--config", config, "--seed", "3")
    assert done.code == 1
    assert "another audio contract: normalisation" in done.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--student", "huge"), 2, "unknown student family 'huge'; choose one of: tiny, small"),
        (("no-such-teacher",), 1, "no-such-teacher is not an artifact"),
    ],
)
def test_mistakes_are_sentences(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    work = tmp_path / "work"
    done = run("distill", "train", *arguments, "--out", tmp_path / "student", "--work", work)
    assert done.code == code
    assert sentence in done.err
    assert not work.exists()


def test_unknown_term_of_the_loss_is_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[distill.weights]\nhints = 1.0\n")
    done = run("distill", "train", "--out", tmp_path / "student", "--config", file)
    assert done.code == 2
    assert "distill.weights.hints is not a key of this section" in done.err
