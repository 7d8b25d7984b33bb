"""The distill stage: a student learns the teacher's embedding and the tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.checkpoint import EpochRecord, Schedule, Training, fit
from acula_edge.contract import Affine, AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices, task_score
from acula_edge.data.recording import Split
from acula_edge.data.tasks import Task
from acula_edge.environment import environment, key_of
from acula_edge.errors import ContractError
from acula_edge.students.store import save_student
from acula_edge.students.student import Student
from distill.augment import augment
from distill.clips import Clips, load_clips
from distill.config import DistillConfig
from distill.losses import embedding_loss, task_loss


@dataclass(frozen=True)
class DistillInputs:
    """The aligned Teacher with its targets, and the Dataset they were made from."""

    teacher: Artifact
    dataset: Artifact


@dataclass(frozen=True)
class Batch:
    """Features (B, 1, n_mels, n_frames), standardised teacher embeddings (B, D), labels (B, tasks)."""

    features: Tensor
    teacher: Tensor
    labels: Tensor


def run(config: DistillConfig, inputs: DistillInputs, out: Path) -> Artifact:
    """Train the student on the training patients; keep the epoch with the best validation AUROC.

    Raises ContractError if teacher and dataset carry different front ends.
    """
    torch.use_deterministic_algorithms(True)
    dataset = Dataset.open(inputs.dataset)
    AudioContract.of(inputs.teacher.manifest.contract).require_equal(dataset.contract, "the teacher")
    train = load_clips(dataset, inputs.teacher, dataset.of(Split.TRAIN), "features train")
    val = load_clips(dataset, inputs.teacher, dataset.of(Split.VAL), "features val")
    model, history = _train(config, dataset, train, val, work_dir(out) / "student.safetensors")
    student = model.student.eval()
    with ArtifactWriter(out) as writer:
        save_student(writer.path, student)
        writer.write_json(
            "distill.json",
            {
                "history": [[record.epoch, record.loss, record.score] for record in history],
                "validation": validation_scores(student, dataset.tasks, val),
                "train_clips": len(train),
            },
        )
        return writer.commit(
            Description(
                kind=ArtifactKind.STUDENT,
                key=key_of(ArtifactKind.STUDENT, config, [inputs.teacher.digest, inputs.dataset.digest]),
                parents=(inputs.teacher.parent, inputs.dataset.parent),
                contract=inputs.dataset.manifest.contract,
                config=config.model_dump(mode="json"),
                data=inputs.dataset.manifest.data,
                seed=config.seed,
                environment=environment(),
            )
        )


class DistillModel(nn.Module):
    """The student, and a linear projector into the teacher's space that only training needs."""

    def __init__(
        self, student: Student, teacher_dim: int, config: DistillConfig, tasks: tuple[Task, ...]
    ) -> None:
        super().__init__()
        self.student = student
        self.projector = nn.Linear(config.student.embedding_dim, teacher_dim)
        self._config, self._tasks, self._slices = config, tasks, logit_slices(tasks)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The parts of the loss: embedding_weight * L_embedding, and task_weight * L_task."""
        embedding, logits = self.student(batch.features)
        distilled = embedding_loss(self.projector(embedding), batch.teacher)
        labelled = task_loss(logits, batch.labels, self._tasks, self._slices)
        return {
            "embedding": self._config.embedding_weight * distilled,
            "task": self._config.task_weight * labelled,
        }


def _train(
    config: DistillConfig, dataset: Dataset, train: Clips, val: Clips, checkpoint: Path
) -> tuple[DistillModel, list[EpochRecord]]:
    contract = dataset.contract
    torch.manual_seed(config.seed)
    n_logits = sum(task.n_logits for task in dataset.tasks)
    student = Student(config.student, contract.n_mels, contract.n_frames, n_logits)
    model = DistillModel(student, train.teacher.shape[1], config, dataset.tasks)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.5 times on a CPU
    centre = train.teacher.mean(0)
    spread = train.teacher.std(0, correction=0).clamp(min=1e-6)
    standardised = (train.teacher - centre) / spread
    std = torch.tensor(_normalisation(contract).std)

    def draw(_epoch: int, rng: np.random.Generator) -> Iterator[Batch]:
        for rows in _batches(len(train), config.batch_size, rng):
            features = augment(train.features[rows], std, config, rng)
            yield Batch(features, standardised[rows], train.labels[rows])

    def score() -> float:
        return float(np.mean(list(validation_scores(model.student, dataset.tasks, val).values())))

    schedule = Schedule(
        epochs=config.epochs,
        steps_per_epoch=len(_batches(len(train), config.batch_size, np.random.default_rng(0))),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        seed=config.seed,
    )
    return model, fit(Training(model, draw, model, score), schedule, checkpoint, "distill")


@torch.no_grad()
def validation_scores(student: Student, tasks: tuple[Task, ...], val: Clips) -> dict[str, float]:
    """Each task's metric on the validation recordings; tasks that they can not score are left out."""
    student.eval()
    logits = np.concatenate([student(part)[1].numpy() for part in torch.split(val.features, 64)])
    counts = np.bincount(val.owner, minlength=len(val.recordings))[:, None]
    means = np.zeros((len(val.recordings), logits.shape[1]))
    np.add.at(means, val.owner, logits)
    means /= counts
    scores = {}
    for task in tasks:
        rows = [index for index, item in enumerate(val.recordings) if task.name in item.labels]
        labels = np.array([val.recordings[index].labels[task.name] for index in rows], dtype=np.int64)
        if rows:
            score = task_score(task, means[rows][:, logit_slices(tasks)[task.name]], labels)
            if not np.isnan(score):
                scores[task.name] = score
    return scores


def _batches(n: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    return np.array_split(rng.permutation(n), max(1, round(n / batch_size)))


def _normalisation(contract: AudioContract) -> Affine:
    if contract.normalisation is None:
        raise ContractError("the audio contract has no normalisation; build the dataset again")
    return contract.normalisation
