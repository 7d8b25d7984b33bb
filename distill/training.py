"""Training of a student on views, without an artifact on disk: for the stage, the search and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from acula_edge.checkpoint import EpochRecord, Log, Schedule, Training, fit
from acula_edge.contract import AudioContract
from acula_edge.data.tasks import Task
from acula_edge.determinism import be_deterministic
from acula_edge.errors import DataError
from acula_edge.students.student import Student
from distill.batches import Batches
from distill.config import DistillConfig
from distill.model import DistillModel
from distill.scoring import Scores, validation_scores
from distill.text_space import Texts
from distill.views import Views


@dataclass(frozen=True)
class Trained:
    """A student on the CPU, in evaluation mode, at its best epoch; each epoch's record, and its scores."""

    student: Student
    history: list[EpochRecord]
    scores: Scores


def train(
    config: DistillConfig,
    tasks: tuple[Task, ...],
    contract: AudioContract,
    views: Views,
    val: Views,
    texts: Texts,
    checkpoint: Path,
    label: str = "distill",
    log: Log = lambda _name, _value, _step: None,
) -> Trained:
    """Train a student on `views`; it keeps the average weights of the best epoch on `val`.

    It runs on a GPU if there is one. A training that was killed goes on from `checkpoint` and ends with the
    same bits. `log` hears each term of the loss at each step, and `validation` after each epoch. Raises
    DataError if `val` can score no task.
    """
    be_deterministic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _model(config, tasks, contract, views, texts).to(device)
    batches = Batches(views, tasks, texts, contract, config)

    def scores() -> Scores:
        return validation_scores(model.average.shadow, tasks, val, texts.space)

    training = Training(
        model,
        batches.draw,
        lambda batch: model(batch.to(device)),
        lambda: mean_score(config, scores()),
        stepped=model.follow,
    )
    history = fit(training, _schedule(config, len(batches)), checkpoint, label, log=log)
    found = scores()
    return Trained(model.average.shadow.to("cpu").eval(), history, found)


def mean_score(config: DistillConfig, scores: Scores) -> float:
    """The mean over the tasks that chooses an epoch: of the heads, or by text where no term trains them.

    Raises DataError if no task has a score.
    """
    heads_learn = config.weights.labels > 0 or config.weights.logits > 0
    of_task = scores.heads if heads_learn else scores.zero_shot
    if not of_task:
        raise DataError(
            "the validation recordings can score no task: each needs recordings of two classes, and without "
            "labels or logits in the loss, training reports of all; add recordings"
        )
    return float(np.mean(list(of_task.values())))


def _model(
    config: DistillConfig, tasks: tuple[Task, ...], contract: AudioContract, views: Views, texts: Texts
) -> DistillModel:
    torch.manual_seed(config.seed)
    n_logits = sum(task.n_logits for task in tasks)
    student = Student(config.student, contract.n_mels, contract.n_frames, n_logits)
    reports = torch.from_numpy(texts.reports)
    model = DistillModel(student, views.embedding.shape[1], tasks, reports, config)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.5 times on a CPU
    return model


def _schedule(config: DistillConfig, steps_per_epoch: int) -> Schedule:
    own = config.model_dump(include={field.name for field in fields(Schedule)})
    return Schedule(steps_per_epoch=steps_per_epoch, **own)
