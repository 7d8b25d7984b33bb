"""A student on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.errors import ArtifactError
from acula_edge.students.config import Block, StudentConfig
from acula_edge.students.store import SHAPE, WEIGHTS, load_student, save_student
from acula_edge.students.student import Student

CONFIG = StudentConfig(stem_channels=4, blocks=(Block(channels=6),), embedding_dim=5)


def _model(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    model = Student(CONFIG, 8, 10, 3)
    model(torch.randn(4, 1, 8, 10))  # moves the running statistics
    return model


def _stored(out: Path, model: Student, **edits: object) -> Artifact:
    with ArtifactWriter(out) as writer:
        save_student(writer.path, model)
        if edits:
            shape = json.loads((writer.path / SHAPE).read_text())
            (writer.path / SHAPE).write_text(json.dumps({**shape, **edits}))
        return writer.commit(Description(kind=ArtifactKind.STUDENT, key="k"))


def test_a_loaded_student_gives_the_same_outputs_in_evaluation_mode(tmp_path: Path) -> None:
    model = _model()
    loaded = load_student(_stored(tmp_path / "student", model))
    features = torch.randn(2, 1, 8, 10)
    assert not loaded.training
    for mine, theirs in zip(model.eval()(features), loaded(features), strict=True):
        assert torch.equal(mine, theirs)


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (_stored(tmp_path / name, _model()) for name in ("first", "second"))
    assert first.digest == second.digest
    assert _stored(tmp_path / "other", _model(seed=1)).digest != first.digest


@pytest.mark.parametrize("edits", [{"n_logits": 4}, {"n_logits": 0}, {"colour": "red"}, {"config": {}}])
def test_a_shape_that_does_not_fit_is_told_in_a_sentence(tmp_path: Path, edits: dict[str, object]) -> None:
    artifact = _stored(tmp_path / "student", _model(), **edits)
    with pytest.raises(ArtifactError, match=r"student\.(json|safetensors).*distil"):
        load_student(artifact)


@pytest.mark.parametrize("content", [b"", b"not weights", bytes(200)])
def test_damaged_weights_are_told_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    artifact = _stored(tmp_path / "student", _model())
    artifact.file(WEIGHTS).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"student\.safetensors does not hold"):
        load_student(artifact)
