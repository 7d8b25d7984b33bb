"""A few real recordings, and students that have heard them: to see whether a conversion works at all."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.data.stage import DataInputs
from acula_edge.data.stage import run as run_data
from acula_edge.students.families import FAMILIES
from acula_edge.students.space import TextSpace
from acula_edge.students.store import save_student
from acula_edge.students.student import Student
from quantize.choice import features_of

PATIENTS, RECORDINGS = 3, 2  # of each label
HEARD, SHARED_DIM = 48, 192


def heard(family: str, dataset_artifact: Artifact, out: Path) -> Artifact:
    """A student whose normalisations know real sound; its text space is drawn."""
    dataset = Dataset.open(dataset_artifact)
    features = torch.from_numpy(features_of(spread_clips(dataset, Split.TRAIN, HEARD, 0), dataset))
    torch.manual_seed(0)
    n_logits = sum(task.n_logits for task in dataset.tasks)
    config = FAMILIES[family].config
    student = Student(config, dataset.contract.n_mels, dataset.contract.n_frames, n_logits).train()
    for layer in student.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the plain mean over the passes
    with torch.no_grad():
        student(features)
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(SHARED_DIM, config.embedding_dim)))
    with ArtifactWriter(out) as writer:
        save_student(writer.path, student.eval())
        TextSpace(basis.astype(np.float32), {}, 1.0).save(writer.path)
        contract = dataset.contract.model_dump(mode="json")
        parents = (dataset_artifact.parent,)
        return writer.commit(
            Description(
                kind=ArtifactKind.STUDENT, key="heard, not trained", parents=parents, contract=contract
            )
        )


def few(folder: Path, work: Path) -> Artifact:
    """A Dataset of a few patients of each label."""
    out = work / "dataset"
    if out.is_dir():
        return Artifact.open(out, ArtifactKind.DATASET)
    recordings = work / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        rows = _some(list(csv.DictReader(stream)))
    for row in rows:
        (recordings / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (recordings / row["path"]).unlink(missing_ok=True)
        (recordings / row["path"]).symlink_to((folder / row["path"]).resolve())
    with (recordings / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return run_data(DataConfig(), DataInputs(recordings), out)


def _some(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The first RECORDINGS of the first PATIENTS of each label."""
    takes, patients, chosen = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), []
    for row in rows:
        label = (row["dataset"], row["label"])
        patient = (*label, row["patient_id"] or row["path"])
        patients[label] += takes[patient] == 0
        if patients[label] <= PATIENTS and takes[patient] < RECORDINGS:
            chosen.append(row)
        takes[patient] += 1
    return chosen
