"""The text space of a teacher's students: principal directions, nested, with the teacher's reports in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import TruncatedSVD

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.errors import ArtifactError
from acula_edge.students.space import SPACE, TextSpace, unit_rows
from distill.text_space import Texts, learn_texts, principal_directions
from tests.distill import small


@pytest.fixture(scope="module")
def dataset(mini_dataset: Artifact) -> Dataset:
    return Dataset.open(mini_dataset)


@pytest.fixture(scope="module")
def learned(dataset: Dataset, mini_teacher: Artifact) -> Texts:
    return learn_texts(mini_teacher, dataset.of(Split.TRAIN), 32)


def _rows(teacher: Artifact, dataset: Dataset, kind: str) -> np.ndarray:
    targets = load_file(teacher.file("targets.safetensors"))
    names = [f"{kind}.{item.id}" for item in dataset.of(Split.TRAIN)]
    return np.concatenate([np.atleast_2d(targets[name]) for name in names if name in targets])


def test_directions_are_those_of_an_uncentred_svd() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 9)) * np.arange(9, 0, -1) + 2.0
    energies, basis = principal_directions(rows.T @ rows, 4)
    svd = TruncatedSVD(4, algorithm="arpack").fit(rows)
    assert energies == pytest.approx(svd.singular_values_**2)
    assert np.abs(np.sum(basis * svd.components_.T, axis=0)) == pytest.approx(np.ones(4), abs=1e-6)
    assert (basis[np.abs(basis).argmax(axis=0), np.arange(4)] > 0).all()


def test_clips_and_reports_count_the_same(learned: Texts, dataset: Dataset, mini_teacher: Artifact) -> None:
    parts = [_rows(mini_teacher, dataset, kind).astype(np.float64) for kind in ("aligned", "report")]
    whole = np.concatenate([part / np.sqrt(len(part)) for part in parts])
    singular, directions = np.linalg.svd(whole, full_matrices=False)[1:]
    agreement = np.abs(np.sum(learned.space.basis[:, :8].T * directions[:8], axis=1))
    assert agreement == pytest.approx(np.ones(8), abs=1e-3)
    kept = np.square(singular[:32]).sum() / np.square(singular).sum()
    assert learned.space.kept == pytest.approx(kept, abs=1e-6)
    assert np.allclose(learned.space.basis.T @ learned.space.basis, np.eye(32), atol=1e-5)


def test_spaces_of_one_teacher_are_nested(learned: Texts, dataset: Dataset, mini_teacher: Artifact) -> None:
    narrow = learn_texts(mini_teacher, dataset.of(Split.TRAIN), 16)
    assert np.array_equal(narrow.space.basis, learned.space.basis[:, :16])
    assert narrow.space.kept < learned.space.kept
    assert narrow.own == learned.own
    cut = unit_rows(learned.reports[:, :16])
    assert narrow.reports == pytest.approx(cut, abs=1e-5)


def test_cosines_of_the_teacher_are_kept(dataset: Dataset, mini_teacher: Artifact) -> None:
    aligned = _rows(mini_teacher, dataset, "aligned")
    space = learn_texts(mini_teacher, dataset.of(Split.TRAIN), 128).space
    heads = load_file(mini_teacher.file("heads_aligned.safetensors"))
    for task in dataset.tasks:
        expected = aligned @ heads[f"prototypes.{task.name}"].T
        found = space.scores(space.reduce(aligned), task.name)
        assert np.abs(found - expected).max() < 0.01


def test_each_recording_finds_its_own_report(
    learned: Texts, dataset: Dataset, mini_teacher: Artifact
) -> None:
    targets = load_file(mini_teacher.file("targets.safetensors"))
    told = {item.id for item in dataset.of(Split.TRAIN) if f"report.{item.id}" in targets}
    assert set(learned.own) == told
    assert len(learned.reports) == len({targets[f"report.{name}"].tobytes() for name in told})
    for name, row in learned.own.items():
        own = learned.space.reduce(targets[f"report.{name}"][None])
        assert learned.reports[row] == pytest.approx(own[0], abs=1e-5)


def test_teacher_that_knows_no_recording_is_refused(dataset: Dataset, mini_teacher: Artifact) -> None:
    strangers = [replace(item, id=f"other-{item.id}") for item in dataset.of(Split.TRAIN)]
    with pytest.raises(ArtifactError, match="has no target of any training recording"):
        learn_texts(mini_teacher, strangers, 8)


def test_teacher_without_a_report_has_a_space_without_one(tmp_path: Path) -> None:
    items, rows = small.recordings(6, Split.TRAIN), np.random.default_rng(2).normal(size=(6, 3, 5))
    targets = {f"aligned.{item.id}": unit_rows(own) for item, own in zip(items, rows, strict=True)}
    heads = {"prototypes.two": np.zeros((2, 5), dtype=np.float32)}

    def write(folder: Path) -> None:
        save_file(targets, folder / "targets.safetensors")
        save_file(heads, folder / "heads_aligned.safetensors")

    texts = learn_texts(_written(tmp_path / "teacher", ArtifactKind.TEACHER, write), items, 4)
    assert texts.own == {}
    assert texts.reports.shape == (0, 4)
    assert not texts.space.prototypes["two"].any()
    assert 0.5 < texts.space.kept < 1.0


def _artifact(folder: Path, space: TextSpace) -> Artifact:
    return _written(folder, ArtifactKind.STUDENT, space.save)


def _written(folder: Path, kind: ArtifactKind, write: Callable[[Path], None]) -> Artifact:
    with ArtifactWriter(folder) as writer:
        write(writer.path)
        return writer.commit(
            Description(
                kind=kind,
                key="k",
                parents=(),
                contract=small.CONTRACT.model_dump(mode="json"),
            )
        )


def test_space_on_disk_is_the_same(tmp_path: Path) -> None:
    space = small.texts(small.recordings(8, Split.TRAIN)).space
    again = TextSpace.open(_artifact(tmp_path / "a", space))
    assert np.array_equal(again.basis, space.basis)
    assert again.kept == space.kept
    assert again.dim == small.EMBEDDING
    assert set(again.prototypes) == {"two", "three"}
    for task, rows in space.prototypes.items():
        assert np.array_equal(again.prototypes[task], rows)


def test_scores_are_cosines_and_a_class_without_a_report_has_none() -> None:
    space = small.texts(small.recordings(8, Split.TRAIN)).space
    silent = space.prototypes["three"] * np.array([[1.0], [0.0], [1.0]], dtype=np.float32)
    space = replace(space, prototypes={"three": silent})
    rows = np.random.default_rng(1).normal(size=(5, small.EMBEDDING))
    found = space.scores(rows, "three")
    lengths = np.linalg.norm(rows, axis=1)[:, None] * np.array([[1.0, 1.0, 1.0]])
    assert found == pytest.approx(rows @ silent.T / lengths, abs=1e-6)
    assert not found[:, 1].any()
    with pytest.raises(ArtifactError, match="no prototypes of task two; it has those of three"):
        space.scores(rows, "two")


def test_file_that_is_not_a_space_is_a_sentence(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path / "a", small.texts(small.recordings(8, Split.TRAIN)).space)
    content = artifact.file(SPACE).read_bytes()
    artifact.file(SPACE).write_bytes(content.replace(b'"basis"', b'"b4sis"'))
    with pytest.raises(ArtifactError, match=r"space\.safetensors is not a text space"):
        TextSpace.open(artifact)
    artifact.file(SPACE).write_bytes(b"\xff" * len(content))
    with pytest.raises(ArtifactError, match=r"space\.safetensors is not a text space"):
        TextSpace.open(artifact)
