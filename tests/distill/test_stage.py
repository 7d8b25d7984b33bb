"""The distill stage on real recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.stage import DataInputs
from acula_edge.data.stage import run as run_data
from acula_edge.errors import ArtifactError, ContractError, UsageError
from acula_edge.students.space import TextSpace, unit_rows
from acula_edge.students.store import load_student
from distill.augment_config import AugmentConfig
from distill.config import DistillConfig, LossWeights
from distill.scoring import answers, validation_scores
from distill.stage import VIEWS, DistillInputs, run
from distill.text_space import learn_texts
from distill.training import train
from distill.views import Views, make_views
from tests.recordings import needs_recordings

PLAIN = AugmentConfig(views=1)


def _views(student: Artifact, teacher: Artifact, dataset: Dataset, split: Split) -> Views:
    return make_views(dataset, teacher, dataset.of(split), PLAIN, student.path.parent / VIEWS, split)


def test_student_has_its_shape_and_its_scores_are_reproduced(
    mini_student: Artifact, mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    student = load_student(mini_student)
    assert mini_student.manifest.kind is ArtifactKind.STUDENT
    assert 80_000 < sum(value.numel() for value in student.parameters()) < 130_000
    val = _views(mini_student, mini_teacher, dataset, Split.VAL)
    scores = validation_scores(student, dataset.tasks, val, TextSpace.open(mini_student))
    stored = mini_student.read_json("distill.json")
    assert scores.heads == pytest.approx(stored["validation"], abs=1e-6)
    assert scores.zero_shot == pytest.approx(stored["zero_shot"], abs=1e-6)
    assert stored["train_clips"] == sum(len(dataset.clips(item)) for item in dataset.of(Split.TRAIN))
    assert max(score for _, _, score in stored["history"]) == pytest.approx(
        np.mean(list(scores.heads.values())), abs=1e-6
    )


def test_student_learned_what_the_teacher_says_of_unseen_patients(
    mini_student: Artifact, mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    """Ridge regression from student to teacher embeddings on train explains variance on val."""
    dataset = Dataset.open(mini_dataset)
    if dataset.simulated:
        pytest.skip("on simulated recordings the first epoch reaches AUROC 1 and is kept: little is learned")
    student = load_student(mini_student)
    parts = {}
    for split in (Split.TRAIN, Split.VAL):
        views = _views(mini_student, mini_teacher, dataset, split)
        parts[split] = (answers(student, views)[0], views.embedding)
    (x, y), (x_val, y_val) = parts[Split.TRAIN], parts[Split.VAL]
    centre = x.mean(0)
    gram = (x - centre).T @ (x - centre) + 1e-2 * len(x) * x.var() * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (x - centre).T @ (y - y.mean(0)))
    error = y_val - y.mean(0) - (x_val - centre) @ weights
    explained = 1 - np.square(error).sum() / np.square(y_val - y.mean(0)).sum()
    assert explained > 0.1


@needs_recordings
def test_student_points_where_the_teacher_points_for_unseen_patients(
    mini_student: Artifact, mini_teacher: Artifact, mini_dataset: Artifact, tmp_path: Path
) -> None:
    """Of all directions of its text space, less their mean: a student that learned nothing has cosine 0.

    Its epoch is chosen on the recordings that it learns: a few validation patients would pick any.
    """
    dataset = Dataset.open(mini_dataset)
    own, val = (_views(mini_student, mini_teacher, dataset, split) for split in (Split.TRAIN, Split.VAL))
    config = DistillConfig(weights=LossWeights.only(semantic=1.0), epochs=12, batch_size=16)
    texts = learn_texts(mini_teacher, own.recordings, config.student.embedding_dim)
    trained = train(config, dataset.tasks, dataset.contract, own, own, texts, tmp_path / "checkpoint")
    said = unit_rows(answers(trained.student, val)[0])
    meant = texts.space.reduce(val.aligned)
    agreement = unit_rows(said - said.mean(0)) * unit_rows(meant - meant.mean(0))
    assert float(agreement.sum(axis=1).mean()) > 0.1


def test_teacher_of_another_front_end_is_refused(
    mini_teacher: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("other")
    other = run_data(DataConfig(simulated_patients=48), DataInputs(None), folder / "dataset")
    with pytest.raises(ContractError, match="another audio contract: normalisation"):
        run(DistillConfig(epochs=1), DistillInputs(mini_teacher, other), folder / "student")
    assert not (folder / "student").exists()


def test_teacher_of_another_dataset_is_refused(mini_teacher: Artifact, mini_dataset: Artifact) -> None:
    elsewhere = replace(mini_dataset, digest="0" * 64)
    with pytest.raises(ArtifactError, match="was trained on other recordings or splits"):
        run(DistillConfig(), DistillInputs(mini_teacher, elsewhere), mini_dataset.path.parent / "no")


def test_embedding_wider_than_the_teachers_space_is_refused(
    mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    shape = DistillConfig().student.model_copy(update={"embedding_dim": 513})
    with pytest.raises(UsageError, match=r"embedding_dim 513 is wider than .*; choose at most 512"):
        run(
            DistillConfig(student=shape),
            DistillInputs(mini_teacher, mini_dataset),
            mini_dataset.path.parent / "no",
        )
