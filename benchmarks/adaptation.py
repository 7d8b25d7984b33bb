"""Does a larger model on the phone undo the shift of a device that no training has heard?

    python benchmarks/adaptation.py train FOLDER
    python benchmarks/adaptation.py report FOLDER

The devices of DEVICES are left out of FOLDER altogether: teacher, students, INT8 grids and golden clips
know none of their recordings. `train` builds the bundles of `base`, which teaches, and of the students that
learn. `report` adapts each student to each device on one half of its patients, without labels, and scores
the other half; then the halves change places, so that every recording is scored by a model that did not
hear its patient. Each half is scored for itself, as another model speaks there, and the mean is over both.
Where the guards refuse, the shipped model stays and counts as the adapted one. AUROC before and after with
paired patient bootstrap, agreement with the teacher, time and memory in the ExecuTorch runtime:
benchmarks/results/adaptation.json.

The defaults of AdaptConfig were chosen on validation patients of known devices, by agreement with the
teacher alone: with a logit weight of 0.1 the guards had refused every epoch on these devices. A first report
ranked the scores of both halves together; that was wrong, and the devices were not used to choose anything.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.contract import AudioContract
from acula_edge.data.audio import read_audio, resample, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.data.folder import METADATA, SourceRow, read_folder
from acula_edge.data.metrics import logit_slices
from acula_edge.data.tasks import Task
from acula_edge.environment import environment
from acula_edge.errors import GateError
from acula_edge.evaluation.probes import told_tasks, zero_shot_logits
from acula_edge.evidence.accuracy import Panel, System, evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.progress import say, track
from acula_edge.runtime.runner import open_runner
from acula_edge.students.space import TextSpace
from distill.adapt.apply import apply
from distill.adapt.config import AdaptConfig
from distill.adapt.export import export, tasks_of
from distill.adapt.guards import agreement
from distill.adapt.names import ADAPTATION, HEAD, MODEL_PCM, PLAN, TIMING
from distill.adapt.run import AdaptInputs, run
from distill.config import DistillConfig

RESULT = Path(__file__).parent / "results" / "adaptation.json"
RUNTIME = Path(__file__).with_name("adaptation_runtime.py")
WORK = Path(".acula-edge") / "adaptation"
TEACHER = "base"
EPOCHS = {"base": 60, "tiny": 60}
STUDENTS = ("tiny",)
RESAMPLES = 2000
SEED = 0

Floats = np.ndarray
Tasks = tuple[Task, ...]


@dataclass(frozen=True)
class Device:
    """Recordings of one device: those of `dataset` whose `field` is `value`; `task` can be asked of them."""

    title: str
    dataset: str
    field: str
    value: str
    task: str

    def took(self, row: SourceRow) -> bool:
        return row.dataset == self.dataset and row.fields.get(self.field) == self.value


DEVICES = {
    "pascal_b": Device(
        "PASCAL set B: a digital stethoscope in a clinic", "pascal_hs", "pascal_set", "B", "pascal_murmur"
    ),
    "p2016_e": Device("PhysioNet 2016, database e", "physionet2016", "p2016_db", "e", "p2016_abnormal"),
}


@dataclass(frozen=True)
class Said:
    """Means over the clips of each recording: embeddings (n, E) and logits (n, K)."""

    embedding: Floats
    logits: Floats


@dataclass(frozen=True)
class Ward:
    """A device's recordings, each one's half, and the models that are tried on them."""

    device: Device
    rows: list[SourceRow]
    paths: list[Path]
    halves: Floats
    teacher: Artifact


def train(folder: Path) -> None:
    """The bundle of each family, without a recording of the devices."""
    known = WORK / "known"
    _leave_out(folder, known)
    for family, epochs in EPOCHS.items():
        config = BuildConfig(distill=DistillConfig(student=family, epochs=epochs))
        make(config, known, WORK / "store", ArtifactKind.BUNDLE).copy(WORK / family)
        say(f"{family}: {WORK / family}")


def _leave_out(folder: Path, known: Path) -> None:
    """A copy of the folder without the rows of the devices."""
    left_out = {row.path for row in read_folder(folder).rows if _device_of(row)}
    with (folder / METADATA).open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        kept = [row for row in reader if row["path"] not in left_out]
    for row in kept:
        (known / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / row["path"], known / row["path"])
    with (known / METADATA).open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(kept)


def _device_of(row: SourceRow) -> Device | None:
    return next((device for device in DEVICES.values() if device.took(row)), None)


def report(folder: Path) -> dict[str, Any]:
    """Every device with every student."""
    teacher = Artifact.open(WORK / TEACHER)
    students = {name: Artifact.open(WORK / name) for name in STUDENTS}
    devices = {}
    for name, device in DEVICES.items():
        rows = [row for row in read_folder(folder).rows if device.took(row)]
        ward = Ward(device, rows, [folder / row.path for row in rows], _halves(rows), teacher)
        devices[name] = _of_ward(ward, students)
    return {
        "devices": devices,
        "runtime": {name: _runtime(student) for name, student in students.items()},
        "epochs": EPOCHS,
        "config": AdaptConfig(seed=SEED).model_dump(mode="json"),
        "environment": environment(),
    }


def _halves(rows: Sequence[SourceRow]) -> Floats:
    """0 or 1 for each recording: patients are dealt out at random, without a look at the labels."""
    patients = [row.patient or row.id for row in rows]
    names = sorted(set(patients))
    dealt = np.random.default_rng(SEED).permutation(len(names)) % 2
    half = dict(zip(names, dealt, strict=True))
    return np.array([half[name] for name in patients])


def _of_ward(ward: Ward, students: Mapping[str, Artifact]) -> dict[str, Any]:
    said = {TEACHER: _listen(ward.teacher, ward.paths)}
    runs: dict[str, list[dict[str, Any]]] = {}
    for name, student in students.items():
        shipped = _listen(student, ward.paths)
        said[f"{name} shipped"] = shipped
        said[f"{name} adapted"] = after = Said(shipped.embedding.copy(), shipped.logits.copy())
        runs[name] = [_fold(ward, student, half, after) for half in (0, 1)]
    logits = {name: own.logits for name, own in said.items()}
    return {
        "title": ward.device.title,
        "accuracy": _accuracy(ward, said, tasks_of(ward.teacher), logits),
        "zero_shot": _zero_shot(ward, said, students),
        "agreement": {name: _agreement(ward, said, name) for name in said if name != TEACHER},
        "runs": runs,
    }


def _fold(ward: Ward, student: Artifact, half: int, after: Said) -> dict[str, Any]:
    """Adapt to one half, and put what the model then says of the other into `after`."""
    heard = [path for path, own in zip(ward.paths, ward.halves, strict=True) if own == half]
    others = np.flatnonzero(ward.halves != half)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "adaptation"
        try:
            found = run(AdaptConfig(seed=SEED), AdaptInputs(student, ward.teacher, heard), out)
        except GateError as refused:
            return {"recordings": len(heard), "refused": str(refused)}
        bundle = apply(student, found.file(HEAD), None, Path(scratch) / "bundle")
        said = _listen(bundle, [ward.paths[row] for row in others])
        after.embedding[others], after.logits[others] = said.embedding, said.logits
        facts = found.read_json(ADAPTATION)
        return {**facts, **found.read_json(TIMING), "epochs": _short(facts["epochs"])}


def _short(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"learning_rate": epoch["learning_rate"], **epoch["mark"], "refused": epoch["refused"]}
        for epoch in epochs
    ]


def _listen(bundle: Artifact, paths: Sequence[Path]) -> Said:
    """What the INT8 .tflite of a bundle says of recordings."""
    contract = AudioContract.of(bundle.manifest.contract)
    runner = open_runner(bundle.file(MODEL_PCM))
    embedding, logits = [], []
    for path in track(paths, len(paths), "listening"):
        samples, rate_hz = read_audio(path)
        pcm = to_int16(resample(samples, rate_hz, contract.sample_rate_hz))
        outputs = runner.run(cut_clips(pcm, contract.clip_samples))
        embedding.append(outputs.embedding.mean(axis=0))
        logits.append(outputs.logits.mean(axis=0))
    return Said(np.stack(embedding), np.stack(logits))


def _accuracy(ward: Ward, said: Mapping[str, Said], tasks: Tasks, logits: Mapping[str, Floats]) -> Any:
    """Each half is a task of its own: scores of two models must not stand in one ranking."""
    (asked,) = (task for task in tasks if task.name == ward.device.task)
    columns = logit_slices(tasks)[asked.name]
    halves = [asked.model_copy(update={"name": f"{asked.name}, half {half}"}) for half in (0, 1)]
    known = [Member.of_row(row, tasks) for row in ward.rows]
    members = [
        replace(member, labels={halves[half].name: member.labels[asked.name]})
        for member, half in zip(known, ward.halves, strict=True)
        if asked.name in member.labels
    ]
    rows = np.flatnonzero([asked.name in member.labels for member in known])
    systems = tuple(System(name, name, "LiteRT, INT8") for name in said)
    comparisons = [(f"{name} adapted", f"{name} shipped", f"{name}: adaptation") for name in STUDENTS]
    comparisons += [(f"{name} shipped", TEACHER, f"{name}: less its teacher") for name in STUDENTS]
    own = {name: np.tile(found[rows][:, columns], 2) for name, found in logits.items()}
    panel = Panel(systems, tuple(comparisons))
    return evaluate(halves, Cohort(tuple(members)), own, panel, RESAMPLES, SEED).model_dump(mode="json")


def _zero_shot(ward: Ward, said: Mapping[str, Said], students: Mapping[str, Artifact]) -> Any:
    """The same by the text prototypes; None where no report of this task was in the training."""
    bundles = {TEACHER: ward.teacher, **students}
    spaces = {name: TextSpace.open(bundles[name.split(" ")[0]]) for name in said}
    tasks = tuple(task for task in tasks_of(ward.teacher) if task.name == ward.device.task)
    told = told_tasks(tasks, spaces[TEACHER].prototypes)
    if not told:
        return None
    by_text = {
        name: zero_shot_logits(told, own.embedding, spaces[name].prototypes) for name, own in said.items()
    }
    return _accuracy(ward, said, told, by_text)


def _agreement(ward: Ward, said: Mapping[str, Said], name: str) -> list[dict[str, float]]:
    """With the teacher in each half, whose patients the model did not hear; the loss is none of it."""
    own, teacher = said[name], said[TEACHER]
    wanted = teacher.embedding[:, : own.embedding.shape[1]]
    marks = []
    for half in (0, 1):
        rows = ward.halves == half
        found = agreement(
            0.0, own.embedding[rows], own.logits[rows], wanted[rows], teacher.logits[rows]
        ).to_json()
        marks.append({key: value for key, value in found.items() if key != "loss"})
    return marks


def _runtime(student: Artifact) -> dict[str, Any]:
    """Memory of `adapt.pte` and of a fresh process that runs batches of it, and its seconds for each clip."""
    with tempfile.TemporaryDirectory() as scratch:
        graphs = export(AdaptConfig().lesson, student, Path(scratch) / "graphs")
        command = [sys.executable, str(RUNTIME), str(graphs.path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return {"planned_bytes": graphs.read_json(PLAN)["planned_bytes"], **json.loads(done.stdout)}


def main() -> None:
    """See the module's docstring."""
    folder = Path(sys.argv[2])
    if sys.argv[1] == "train":
        train(folder)
    else:
        write_json(RESULT, report(folder))


if __name__ == "__main__":
    main()
