"""The distill stage on real recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.stage import DataInputs
from acula_edge.data.stage import run as run_data
from acula_edge.errors import ArtifactError, ContractError
from acula_edge.frontend import log_mel
from acula_edge.students.store import load_student
from distill.clips import load_clips
from distill.config import DistillConfig
from distill.stage import DistillInputs, run, validation_scores


def test_student_has_its_shape_and_its_scores_are_reproduced(
    mini_student: Artifact, mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    student = load_student(mini_student)
    assert mini_student.manifest.kind is ArtifactKind.STUDENT
    assert 80_000 < sum(value.numel() for value in student.parameters()) < 130_000
    val = load_clips(dataset, mini_teacher, dataset.of(Split.VAL), "val")
    scores = validation_scores(student, dataset.tasks, val)
    assert scores == pytest.approx(mini_student.read_json("distill.json")["validation"], abs=1e-6)


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
        clips = load_clips(dataset, mini_teacher, dataset.of(split), split)
        with torch.no_grad():
            parts[split] = (student(clips.features)[0].numpy(), clips.teacher.numpy())
    (x, y), (x_val, y_val) = parts[Split.TRAIN], parts[Split.VAL]
    centre = x.mean(0)
    gram = (x - centre).T @ (x - centre) + 1e-2 * len(x) * x.var() * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (x - centre).T @ (y - y.mean(0)))
    error = y_val - y.mean(0) - (x_val - centre) @ weights
    explained = 1 - np.square(error).sum() / np.square(y_val - y.mean(0)).sum()
    assert explained > 0.1


def test_features_are_the_contracts(mini_teacher: Artifact, mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    recording = dataset.of(Split.VAL)[0]
    clips = load_clips(dataset, mini_teacher, [recording], "val")
    expected = log_mel(dataset.clips(recording), dataset.contract)
    assert np.array_equal(clips.features[:, 0].numpy(), expected)
    assert len(clips) == len(expected)


def test_targets_of_other_recordings_are_refused(
    mini_teacher: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("other")
    other = run_data(DataConfig(simulated_patients=48), DataInputs(None), folder / "dataset")
    with pytest.raises(ContractError, match="another audio contract: normalisation"):
        run(DistillConfig(epochs=1), DistillInputs(mini_teacher, other), folder / "student")
    dataset = Dataset.open(other)
    known = load_file(mini_teacher.file("targets.safetensors"))
    unknown = [item for item in dataset.of(*Split) if f"embedding.{item.id}" not in known]
    with pytest.raises(ArtifactError, match="no target for recording"):
        load_clips(dataset, mini_teacher, unknown[:1], "val")
    assert not (folder / "student").exists()
