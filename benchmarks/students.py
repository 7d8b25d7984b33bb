"""How much of its teacher does each student keep? Test patients, with the controls that it must beat.

    python benchmarks/students.py train FOLDER TEACHER FAMILY [LESSON ...]
    python benchmarks/students.py report FOLDER TEACHER

TEACHER is a folder that `acula-edge teacher train --data FOLDER` wrote. `train` trains the family's student
by each lesson and keeps what it says of the test recordings in the work folder; validation picks the epoch.
The lessons: `distilled`, the product's default; `labels`, the recordings' labels alone; `direct`, labels and
the recording's own report, without a teacher's ear. `report` scores all that were trained, in one run with
paired patient bootstrap, and writes benchmarks/results/students.json.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.encoders.teacher_model import TeacherModel, Variant, embed_clips
from acula_edge.environment import environment
from acula_edge.evaluation.heads import Heads
from acula_edge.evaluation.measures import units_of
from acula_edge.evaluation.probes import told_tasks, zero_shot_logits
from acula_edge.evidence.accuracy import Panel, System, evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.jackknife import jackknife
from acula_edge.evidence.retrieval import retrieval
from acula_edge.frontend import log_mel
from acula_edge.progress import say, track
from acula_edge.students.families import FAMILIES
from acula_edge.students.plan import plan_of
from acula_edge.students.student import Student
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.texts import embed_reports, wordings_of
from distill.augment_config import AugmentConfig
from distill.config import DistillConfig, LossWeights
from distill.text_space import learn_texts
from distill.training import train
from distill.views import make_views

RESULT = Path(__file__).parent / "results" / "students.json"
WORK = Path(".acula-edge")
RESAMPLES = 2000
LESSONS: dict[str, dict[str, Any]] = {
    "distilled": {},
    "labels": {"weights": LossWeights.only(labels=1.0)},
    "direct": {"weights": LossWeights.only(labels=1.0, reports=0.3)},
}
TITLES = {"distilled": "distilled", "labels": "labels alone", "direct": "aligned directly"}
# Longer is better up to here in three folds of the training patients (benchmarks/ablation.py); `large` was
# given what fitted into the time on a GPU.
EPOCHS = {"tiny": 100, "small": 100, "base": 60, "attention": 60, "large": 48}
TEACHER = "teacher"

Floats = np.ndarray


@dataclass(frozen=True)
class Said:
    """What a system says of the test recordings: `audio` (n, d) in the text space, `logits` (n, K)."""

    audio: Floats
    logits: Floats


def teach(dataset: Dataset, teacher: Artifact, family: str, lesson: str) -> None:
    """Train one student, and keep what it says of the test recordings."""
    file = WORK / "students" / f"{family}-{lesson}.npz"
    if file.is_file():
        return
    config = DistillConfig(student=family, epochs=EPOCHS[family]).model_copy(update=LESSONS[lesson])
    texts = learn_texts(teacher, dataset.of(Split.TRAIN), config.student.embedding_dim)
    views = make_views(dataset, teacher, dataset.of(Split.TRAIN), config.augment, WORK / "views", "train")
    plain = AugmentConfig(views=1)
    val = make_views(dataset, teacher, dataset.of(Split.VAL), plain, WORK / "views", "val")
    start = time.perf_counter()
    checkpoint = WORK / "students" / f"{family}-{lesson}.safetensors"
    trained = train(config, dataset.tasks, dataset.contract, views, val, texts, checkpoint, file.stem)
    about = {
        "seconds": round(time.perf_counter() - start),
        "epochs": len(trained.history),
        "validation": round(max(record.score for record in trained.history), 4),
        "weights": config.weights.used,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }
    said = listen(trained.student, dataset)
    np.savez(file, audio=said.audio, logits=said.logits, about=json.dumps(about))
    say(f"{file.stem}: {about}")


def listen(student: Student, dataset: Dataset) -> Said:
    """The means over the clips of each test recording."""
    audio, logits = [], []
    recordings = dataset.of(Split.TEST)
    for recording in track(recordings, len(recordings), "test"):
        features = log_mel(dataset.clips(recording), dataset.contract)[:, None]
        with torch.no_grad():
            embedding, own = student.eval()(torch.from_numpy(features))
        audio.append(embedding.numpy().mean(axis=0))
        logits.append(own.numpy().mean(axis=0))
    return Said(np.stack(audio), np.stack(logits))


def teacher_says(dataset: Dataset, teacher: Artifact, heads: Heads) -> Said:
    """The aligned encoder, its closed-form probe and its head."""
    model = TeacherModel.open(teacher, Variant.ALIGNED)
    recordings = dataset.of(Split.TEST)
    rows = [
        embed_clips(model.encoder, dataset.clips(item), dataset.contract).mean(axis=0)
        for item in track(recordings, len(recordings), "teacher")
    ]
    embeddings = np.stack(rows)
    return Said(heads.audio(embeddings), embeddings @ model.weight.T + model.bias)


def report(dataset: Dataset, teacher: Artifact) -> dict[str, Any]:
    """Every student that was trained, against the teacher and its own controls."""
    heads = Heads.open_all(teacher)[str(Variant.ALIGNED)]
    said, about = {TEACHER: teacher_says(dataset, teacher, heads)}, {}
    for family in EPOCHS:
        for lesson in LESSONS:
            file = WORK / "students" / f"{family}-{lesson}.npz"
            if file.is_file():
                stored = np.load(file)
                said[f"{family} {lesson}"] = Said(stored["audio"], stored["logits"])
                about[f"{family} {lesson}"] = json.loads(str(stored["about"]))
    recordings = dataset.of(Split.TEST)
    labelled = np.flatnonzero([bool(item.labels) for item in recordings])
    cohort = Cohort(tuple(Member.of_recording(recordings[row]) for row in labelled))
    logits = {name: found.logits[labelled] for name, found in said.items()}
    told = told_tasks(dataset.tasks, heads.prototypes)
    by_text = {name: _zero_shot(dataset, teacher, heads, name, found) for name, found in said.items()}
    by_text = {name: found[labelled] for name, found in by_text.items() if not name.endswith("labels")}
    accuracy = evaluate(dataset.tasks, cohort, logits, _panel("task heads"), RESAMPLES, 0)
    zero = evaluate(told, cohort, by_text, _panel("text prototypes"), RESAMPLES, 0)
    return {
        "accuracy": accuracy.model_dump(mode="json"),
        "zero_shot": zero.model_dump(mode="json"),
        "retrieval": _retrieval(dataset, teacher, heads, said),
        "cost": {family: _cost(dataset, family) for family in EPOCHS},
        "runs": about,
        "environment": environment(),
    }


def _panel(ran_in: str) -> Panel:
    students = {f"{family} {lesson}": TITLES[lesson] for family in EPOCHS for lesson in LESSONS}
    systems = [System(TEACHER, "Aligned teacher", ran_in)]
    systems += [System(name, f"`{name.split(' ')[0]}`, {title}", ran_in) for name, title in students.items()]
    comparisons = []
    for family in EPOCHS:
        own = f"{family} distilled"
        comparisons.append((own, TEACHER, f"`{family}`: distilled less the teacher"))
        comparisons.append((own, f"{family} labels", f"`{family}`: distilled less labels alone"))
        comparisons.append((own, f"{family} direct", f"`{family}`: distilled less aligned directly"))
    return Panel(tuple(systems), tuple(comparisons))


def _zero_shot(dataset: Dataset, teacher: Artifact, heads: Heads, name: str, said: Said) -> Floats:
    told = told_tasks(dataset.tasks, heads.prototypes)
    prototypes: Mapping[str, Floats] = heads.prototypes
    if name != TEACHER:
        space = learn_texts(teacher, dataset.of(Split.TRAIN), said.audio.shape[1]).space
        prototypes = space.prototypes
    return zero_shot_logits(told, said.audio, prototypes)


def _retrieval(
    dataset: Dataset, teacher: Artifact, heads: Heads, said: Mapping[str, Said]
) -> dict[str, dict[str, Any]]:
    """A test recording's report among all of the test recordings' reports, by patients' jackknife."""
    recordings = dataset.of(Split.TEST)
    # The training reports come first: the embeddings are centred on them.
    known = [*dataset.of(Split.TRAIN), *recordings]
    wordings = wordings_of(known, 1)
    recipe = TeacherConfig.model_validate(teacher.manifest.config)
    embedded = embed_reports(recipe, known, wordings)[-len(recordings) :, 0]
    texts = heads.text(embedded)
    rows = np.flatnonzero([bool(forms[0]) for forms in wordings[-len(recordings) :]])
    told = [recordings[row] for row in rows]
    found = {}
    for name, own in said.items():
        shared = texts
        if name != TEACHER:
            dim = own.audio.shape[1]
            shared = learn_texts(teacher, dataset.of(Split.TRAIN), dim).space.reduce(texts)
        found[name] = _search(own.audio[rows], shared[rows], told)
    return {name: row for name, row in found.items() if not name.endswith("labels")}


def _search(audio: Floats, texts: Floats, told: list[Recording]) -> dict[str, Any]:
    reports = [item.report for item in told]

    def figures(rows: Floats) -> Floats:
        way = retrieval(audio[rows], texts[rows], [reports[row] for row in rows]).audio_to_report
        return np.array([way.recall[10], way.median_rank])

    recall, rank = jackknife(figures, units_of(told), 0)
    way = retrieval(audio, texts, reports).audio_to_report
    return {
        "candidates": way.candidates,
        "recall_10": recall.model_dump(mode="json"),
        "median_rank": rank.model_dump(mode="json"),
        "chance_recall_10": way.chance_recall[10],
        "chance_median_rank": way.chance_median_rank,
    }


def _cost(dataset: Dataset, family: str) -> dict[str, Any]:
    contract = dataset.contract
    n_logits = sum(task.n_logits for task in dataset.tasks)
    plan = plan_of(FAMILIES[family].config, contract.n_mels, contract.n_frames, n_logits)
    return {
        "parameters": plan.parameters,
        "macs": plan.macs,
        "peak_activation_bytes": plan.peak_activation_bytes,
        "flash_bytes": plan.flash_bytes,
        "device": FAMILIES[family].device,
    }


def main(what: str, folder: Path, teacher: Path, *chosen: str) -> None:
    """Train the lessons of one family, or report on all."""
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    source = Artifact.open(teacher, ArtifactKind.TEACHER)
    if what == "report":
        write_json(RESULT, report(dataset, source))
        return
    (WORK / "students").mkdir(parents=True, exist_ok=True)
    family, *lessons = chosen
    for lesson in lessons or LESSONS:
        teach(dataset, source, family, lesson)


if __name__ == "__main__":
    what, folder, teacher, *chosen = sys.argv[1:]
    main(what, Path(folder), Path(teacher), *chosen)
