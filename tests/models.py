"""A student for the tests: briefly trained on real labels, so that its embedding tells sounds apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread
from acula_edge.frontend import log_mel
from acula_edge.students.config import StudentConfig
from acula_edge.students.families import FAMILIES
from acula_edge.students.space import TextSpace, unit_rows
from acula_edge.students.store import save_student
from acula_edge.students.student import Student
from quantize.gates_config import Drop, GatesConfig, Least

# For a student that a few steps trained: it has little that INT8 could keep.
NO_GATES = GatesConfig(
    max_auroc_drop=Drop(),
    non_inferiority_margin=Drop(),
    min_embedding_cka=Least(),
    min_neighbour_overlap=Least(),
    max_undelegated_ops=None,
)

_RECORDINGS, _BATCH, _STEPS, _SEED = 96, 24, 24, 0
_SHARED_DIM = 192
_SMALL = FAMILIES["small"].config


def make_student(dataset_artifact: Artifact, out: Path, config: StudentConfig = _SMALL) -> Artifact:
    """Train for a few seconds and write the Student artifact."""
    dataset = Dataset.open(dataset_artifact)
    torch.manual_seed(_SEED)
    model = _train(dataset, config)
    with ArtifactWriter(out) as writer:
        save_student(writer.path, model)
        _space(dataset, model.config.embedding_dim).save(writer.path)
        return writer.commit(
            Description(
                kind=ArtifactKind.STUDENT,
                key="a student for the tests",
                parents=(dataset_artifact.parent,),
                contract=dataset.contract.model_dump(mode="json"),
            )
        )


def _space(dataset: Dataset, dim: int) -> TextSpace:
    """Any directions and any prototypes: this student has no teacher."""
    rng = np.random.default_rng(_SEED)
    basis, _ = np.linalg.qr(rng.normal(size=(_SHARED_DIM, dim)))
    prototypes = {task.name: unit_rows(rng.normal(size=(len(task.classes), dim))) for task in dataset.tasks}
    return TextSpace(basis.astype(np.float32), prototypes, 1.0)


def _train(dataset: Dataset, config: StudentConfig) -> Student:
    contract = dataset.contract
    recordings = spread(dataset.of(Split.TRAIN), _RECORDINGS, _SEED)
    pcm = np.stack([dataset.clips(recording)[0] for recording in recordings])
    features = torch.from_numpy(np.ascontiguousarray(log_mel(pcm, contract)[:, None]))
    slices = logit_slices(dataset.tasks)
    model = Student(
        config,
        contract.n_mels,
        contract.n_frames,
        sum(task.n_logits for task in dataset.tasks),
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(_STEPS):
        chosen = torch.randperm(len(recordings), generator=torch.Generator().manual_seed(step))[:_BATCH]
        _, logits = model(features[chosen])
        losses = []
        for row, index in zip(logits, chosen.tolist(), strict=True):
            for name, label in recordings[index].labels.items():
                part = row[slices[name]]
                target = torch.tensor(label)
                losses.append(
                    F.binary_cross_entropy_with_logits(part[0], target.float())
                    if len(part) == 1
                    else F.cross_entropy(part[None], target[None])
                )
        optimiser.zero_grad()
        torch.stack(losses).mean().backward()
        optimiser.step()
    _settle(model, features)
    return model.eval()


def _settle(model: Student, features: torch.Tensor) -> None:
    """Statistics of the whole set: those of a few steps lag behind the weights, and flatten the output."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        model.train()(features)
