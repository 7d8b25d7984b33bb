"""Which terms of the distillation loss are worth it, and how long do larger students train? In 3 folds.

    python benchmarks/ablation.py FOLDER TEACHER [ROW ...]

TEACHER is a folder that `acula-edge teacher train --data FOLDER` wrote. Every row of ROWS, or each ROW
named, is a loss, an augmentation, a student or a recipe. The test split is never opened: only train and
validation recordings take part. In each fold two thirds of the patients are
trained on (an eighth of them picks the epoch) and the others are scored: the mean over tasks and folds of
the AUROC, by the task heads and, without any label, by the text prototypes; `cosine` is how near the
student comes to the teacher's place in the space shared with text, on patients that it has not seen. The
teacher's probe is fitted anew in each fold, so that its logits know no label of a scored patient. Its
encoder and its space have seen the reports of them all: this favours the terms `semantic`, and those that
compare embeddings, if anything. Trainings that are in the result already are not run again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sweep import folds_by_patient

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.data.tasks import Task
from acula_edge.environment import environment
from acula_edge.progress import say
from acula_edge.students.families import FAMILIES
from acula_edge.teacher.probe import Embedded, fit_probe
from distill.augment_config import AugmentConfig, SpectrogramConfig
from distill.config import DistillConfig, LossWeights
from distill.scoring import answers, validation_scores
from distill.text_space import Texts, learn_texts
from distill.training import train
from distill.views import Views, make_views

RESULTS = Path(__file__).parent / "results"
WORK = Path(".acula-edge")
FOLDS = 3
STUDENT = "tiny"
EPOCHS = 60


def _beside_labels(**weights: float) -> dict[str, Any]:
    return {"weights": LossWeights.only(labels=1.0, **weights)}


# No mixup: a view could hold another fold's clip.
_VIEWS = AugmentConfig(mixup=0.0)
_QUIET = SpectrogramConfig(gain_db=0.0, mel_mask=0, frame_mask=0)
_DIRECT = {"reports": 0.3}
_MIX = {"reports": 0.3, "logits": 0.5, "semantic": 0.3}
ROWS: dict[str, dict[str, Any]] = {
    "labels alone": _beside_labels(),
    "labels + own reports, no teacher": _beside_labels(**_DIRECT),
    "labels + logits": _beside_labels(logits=0.5),
    "default: labels + semantic": _beside_labels(semantic=1.0),
    "labels + logits + semantic": _beside_labels(logits=0.5, semantic=1.0),
    "labels + semantic 2": _beside_labels(semantic=2.0),
    "labels + logits + semantic 2": _beside_labels(logits=0.5, semantic=2.0),
    "mix, semantic 1": _beside_labels(**_MIX | {"semantic": 1.0}),
    "labels + own reports + logits": _beside_labels(**_DIRECT, logits=0.5),
    "labels + own reports + light semantic": _beside_labels(**_DIRECT, semantic=0.3),
    "mix: labels + own reports + logits + light semantic": _beside_labels(**_MIX),
    "labels + embedding": _beside_labels(embedding=0.3),
    "labels + cosine": _beside_labels(cosine=0.3),
    "labels + distance": _beside_labels(distance=1.0),
    "labels + angle": _beside_labels(angle=1.0),
    "labels + Gram": _beside_labels(gram=0.3),
    "labels + contrastive": _beside_labels(contrastive=0.1),
    "mix + distance": _beside_labels(**_MIX, distance=1.0),
    "mix + embedding": _beside_labels(**_MIX, embedding=0.3),
    "mix + contrastive": _beside_labels(**_MIX, contrastive=0.1),
    "mix, logits 2": _beside_labels(**_MIX | {"logits": 2.0}),
    "mix, logits 2 + embedding": _beside_labels(**_MIX | {"logits": 2.0}, embedding=0.3),
    "mix, one view": _beside_labels(**_MIX) | {"augment": _VIEWS.model_copy(update={"views": 1})},
    "mix, no spectrogram noise": _beside_labels(**_MIX)
    | {"augment": _VIEWS.model_copy(update={"spectrogram": _QUIET})},
    "mix, no average of weights": _beside_labels(**_MIX) | {"ema_decay": 0.0},
    "mix, 20 epochs": _beside_labels(**_MIX) | {"epochs": 20},
    "mix, 120 epochs": _beside_labels(**_MIX) | {"epochs": 120},
} | {
    f"{family}, {title}": {"student": FAMILIES[family].config} | changes
    for family in ("small", "base", "large")
    for title, changes in {
        "labels alone": _beside_labels(),
        "mix": _beside_labels(**_MIX),
        "mix, logits 2": _beside_labels(**_MIX | {"logits": 2.0}),
        "mix, semantic 1": _beside_labels(**_MIX | {"semantic": 1.0}),
        "default: labels + semantic": _beside_labels(semantic=1.0),
        "labels + semantic 2": _beside_labels(semantic=2.0),
        "labels + logits + semantic": _beside_labels(logits=0.5, semantic=1.0),
        "mix + embedding": _beside_labels(**_MIX, embedding=0.3),
        "mix + distance": _beside_labels(**_MIX, distance=1.0),
        "mix, 30 epochs": _beside_labels(**_MIX) | {"epochs": 30},
        "mix, 120 epochs": _beside_labels(**_MIX) | {"epochs": 120},
        "mix + distance, 30 epochs": _beside_labels(**_MIX, distance=1.0) | {"epochs": 30},
        "mix, rate 5e-4, 30 epochs": _beside_labels(**_MIX) | {"learning_rate": 5e-4, "epochs": 30},
        "labels alone, 30 epochs": _beside_labels() | {"epochs": 30},
    }.items()
}


def config_of(name: str) -> DistillConfig:
    """The training of a row, from seed 0."""
    base = DistillConfig(student=STUDENT, epochs=EPOCHS, augment=_VIEWS)
    return base.model_copy(update=ROWS[name])


def part(views: Views, recordings: np.ndarray, as_recorded: bool = False) -> Views:
    """The views of some recordings (indices), all of them or only view 0."""
    number = np.full(len(views.recordings), -1)
    number[recordings] = np.arange(len(recordings))
    rows = np.flatnonzero((number[views.owner] >= 0) & ((views.view == 0) | (not as_recorded)))
    arrays = ("features", "embedding", "logits", "aligned", "labels", "clip", "view")
    return replace(
        views,
        recordings=tuple(views.recordings[index] for index in recordings),
        owner=number[views.owner[rows]],
        **{name: getattr(views, name)[rows] for name in arrays},
    )


def refitted(tasks: tuple[Task, ...], views: Views, seen: np.ndarray, picks: np.ndarray) -> Views:
    """The views with the logits of a probe that was fitted on the recordings `seen` alone.

    `picks` chooses its strength. A task of which `seen` has one class only keeps its logits: no fold can
    score it.
    """
    vectors = _recording_means(views)
    slices = logit_slices(tasks)
    known, others = (
        Embedded([views.recordings[row] for row in part], vectors[part]) for part in (seen, picks)
    )
    able = tuple(task for task in tasks if len(set(known.of_task(task)[1])) > 1)
    probe = fit_probe(able, known, others)
    columns = np.r_[tuple(slices[task.name] for task in able)]
    logits = np.array(views.logits)
    logits[:, columns] = views.embedding @ probe.weight.T + probe.bias
    return replace(views, logits=logits)


def _recording_means(views: Views) -> np.ndarray:
    """The teacher's embedding (recordings, D) of each recording as it was recorded."""
    rows = views.view == 0
    sums = np.zeros((len(views.recordings), views.embedding.shape[1]), dtype=np.float32)
    np.add.at(sums, views.owner[rows], views.embedding[rows])
    return sums / np.bincount(views.owner[rows], minlength=len(sums))[:, None]


def score(
    tasks: tuple[Task, ...],
    contract: AudioContract,
    views: Views,
    texts: Texts,
    config: DistillConfig,
    number: int,
) -> dict[str, Any]:
    """Each task's AUROC in fold `number`, by heads and by text, and the mean cosine to the teacher."""
    groups = [f"{item.dataset} {item.group}" for item in views.recordings]
    fold = folds_by_patient(groups, FOLDS)
    outside = np.flatnonzero(fold != number)
    inner = folds_by_patient([groups[row] for row in outside], 8)
    taught = refitted(tasks, views, outside[inner > 0], outside[inner == 0])
    held = part(views, np.flatnonzero(fold == number), as_recorded=True)
    with tempfile.TemporaryDirectory() as scratch:
        trained = train(
            config,
            tasks,
            contract,
            part(taught, outside[inner > 0], as_recorded=config.augment.views == 1),
            part(taught, outside[inner == 0], as_recorded=True),
            texts,
            Path(scratch) / "student.safetensors",
        )
    found = validation_scores(trained.student, tasks, held, texts.space)
    embedding = answers(trained.student, held)[0]
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    cosine = float((embedding * texts.space.reduce(held.aligned)).sum(axis=1).mean())
    return {
        "heads": {task: round(value, 4) for task, value in found.heads.items()},
        "zero_shot": {task: round(value, 4) for task, value in found.zero_shot.items()},
        "cosine": round(cosine, 4),
        "epoch": max(trained.history, key=lambda record: record.score).epoch,
    }


def row_of(name: str, config: DistillConfig, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the trainings of a row, one a fold, say together."""
    means = {kind: _mean([run[kind] for run in runs]) for kind in ("heads", "zero_shot")}
    cosine = round(float(np.mean([run["cosine"] for run in runs])), 4)
    student = name.split(",")[0] if name.split(",")[0] in FAMILIES else STUDENT
    return {
        "name": name,
        "student": student,
        "epochs": config.epochs,
        **means,
        "cosine": cosine,
        "runs": runs,
    }


def _mean(folds: list[dict[str, float]]) -> float:
    """Over tasks, of the mean over the folds that could score the task."""
    tasks = sorted({task for fold in folds for task in fold})
    means = [np.mean([fold[task] for fold in folds if task in fold]) for task in tasks]
    return round(float(np.mean(means)), 4)


def main(folder: Path, teacher: Path, chosen: list[str]) -> None:
    """Run what is not in the results file yet, row by row."""
    source = Artifact.open(teacher, ArtifactKind.TEACHER)
    result = RESULTS / f"ablation_{source.manifest.config['encoder']}.json"
    rows: list[dict[str, Any]] = json.loads(result.read_text())["rows"] if result.is_file() else []
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    recordings = dataset.of(Split.TRAIN, Split.VAL)
    views = make_views(dataset, source, recordings, _VIEWS, WORK / "views", "views")
    train_recordings = dataset.of(Split.TRAIN)
    for name in chosen or ROWS:
        if name in {row["name"] for row in rows}:
            continue
        start, config = time.perf_counter(), config_of(name)
        texts = learn_texts(source, train_recordings, config.student.embedding_dim)
        tasks, contract = dataset.tasks, dataset.contract
        runs = [score(tasks, contract, views, texts, config, number) for number in range(FOLDS)]
        rows.append(row_of(name, config, runs))
        seconds = time.perf_counter() - start
        say(
            f"{name}: heads {rows[-1]['heads']:.4f}, zero-shot {rows[-1]['zero_shot']:.4f} in {seconds:.0f} s"
        )
        write_json(result, {"folds": FOLDS, "rows": rows, "environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
