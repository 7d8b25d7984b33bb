"""Folder bench: accuracy of a bundle or a teacher on any labelled recordings folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.bench import columns
from acula_edge.bench.config import BenchConfig
from acula_edge.bench.scoring import (
    GraphScorer,
    LibraryOpener,
    Scorer,
    Sound,
    library_scorer,
    score_all,
    teacher_scorers,
)
from acula_edge.bench.systems import DECIDING, PANEL, graphs_in
from acula_edge.data.audio import read_audio
from acula_edge.data.folder import Folder, SourceRow, folder_digest, read_folder
from acula_edge.data.tasks import Match, Task
from acula_edge.errors import ArtifactError, DataError, UsageError
from acula_edge.evidence.accuracy import Logits, evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.decisions import Decisions
from acula_edge.evidence.facts import BrokenFile
from acula_edge.evidence.operating import OperatingPoint, operating_points
from acula_edge.evidence.results import Accuracy, Frozen
from acula_edge.runtime.runner import available

_RULES = "thresholds.json"
# Where each kind of artifact holds its tasks.
_TASKS_IN = {ArtifactKind.BUNDLE: "labels.json", ArtifactKind.TEACHER: "teacher.json"}


class FolderAccuracy(Frozen):
    """What was found: `warnings` are for the reader of the numbers; broken recordings were left out."""

    model: str
    digest: str
    recordings: int
    warnings: tuple[str, ...]
    broken: tuple[BrokenFile, ...]
    accuracy: Accuracy
    operating: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class FolderBench:
    """The result, and behind it the logits of every system: one row for each member of the cohort."""

    result: FolderAccuracy
    tasks: tuple[Task, ...]
    cohort: Cohort
    logits: Logits


def bench_folder(
    model: Artifact, root: Path, config: BenchConfig, library: LibraryOpener | None = None
) -> FolderBench:
    """Score every labelled recording of a folder, whatever its split, in every runtime that is here.

    `model` is a Bundle or a Teacher; `library` opens a bundle's C library. Raises UsageError for another
    artifact, DataError for a folder that can not be read or has no recording that the model's tasks are
    about.
    """
    tasks = tasks_of(model)
    folder = read_folder(root)
    rows = [row for row in folder.rows if Member.of_row(row, tasks).labels]
    if not rows:
        raise DataError(_nothing_asked(folder, tasks))
    scorers, warnings = _scorers(model, library)
    kept: list[SourceRow] = []
    broken: list[BrokenFile] = []
    logits = score_all(_sounds(folder, rows, kept, broken), len(rows), scorers, "Scoring recordings")
    cohort = Cohort(tuple(Member.of_row(row, tasks) for row in kept))
    drawn = (config.bootstrap_resamples, config.seed)
    result = FolderAccuracy(
        model=model.manifest.kind,
        digest=model.digest,
        recordings=len(kept),
        warnings=(*_seen(model, root), *warnings),
        broken=tuple(broken),
        accuracy=evaluate(tasks, cohort, logits, PANEL, *drawn),
        operating=operating_points(tasks, cohort, logits, rules_of(model), DECIDING, *drawn),
    )
    return FolderBench(result, tasks, cohort, logits)


def write_scores(bench: FolderBench, path: Path) -> None:
    """One CSV row for each recording and system: its labels (class names) and its probabilities."""
    labels = [f"label:{task.name}" for task in bench.tasks]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["recording", "system", *labels, *columns.names(bench.tasks)])
        for name, found in bench.logits.items():
            for member, logits in zip(bench.cohort.members, found, strict=True):
                known = [_class_name(task, member) for task in bench.tasks]
                writer.writerow([member.id, name, *known, *columns.values(bench.tasks, logits)])


def tasks_of(model: Artifact) -> tuple[Task, ...]:
    """The tasks of a Bundle or a Teacher, in the order of its logits."""
    if model.manifest.kind not in _TASKS_IN:
        raise UsageError(f"{model.path} is a {model.manifest.kind} artifact; give a bundle or a teacher")
    name = _TASKS_IN[model.manifest.kind]
    held = model.read_json(name)
    if "tasks" not in held:
        raise ArtifactError(f"{model.path / name} holds no tasks; build it again")
    return tuple(Task.model_validate(row) for row in held["tasks"])


def rules_of(model: Artifact) -> Decisions:
    """The frozen rules of a bundle. A teacher, and a bundle that an adaptation changed, decide nothing."""
    if model.has(_RULES):
        return Decisions.model_validate(model.read_json(_RULES))
    return Decisions.without_rules(tasks_of(model))


def _scorers(model: Artifact, library: LibraryOpener | None) -> tuple[dict[str, Scorer], list[str]]:
    if model.manifest.kind is ArtifactKind.TEACHER:
        return teacher_scorers(model), []
    held = graphs_in(model)
    usable = {graph.system.name: graph for graph in held if available(graph.runtime)}
    missing = [graph for graph in held if graph.system.name not in usable]
    warnings = [f"{graph.file} was not run: {graph.system.ran_in} is not installed" for graph in missing]
    if model.read_json(_TASKS_IN[ArtifactKind.BUNDLE])["simulated"]:
        warnings.append("the model was trained on simulated recordings")
    compiled, no_compiler = library_scorer(model, library)
    files = {name: GraphScorer.open(model, graph) for name, graph in usable.items()}
    return {**files, **compiled}, [*warnings, *no_compiler]


def _sounds(
    folder: Folder, rows: Sequence[SourceRow], kept: list[SourceRow], broken: list[BrokenFile]
) -> Iterator[Sound]:
    """Decoded recordings; each row goes to `kept` or to `broken`."""
    for row in rows:
        try:
            sound = read_audio(folder.root / row.path)
        except DataError as error:
            broken.append(BrokenFile(line=row.line, path=row.path, reason=str(error)))
            continue
        kept.append(row)
        yield sound


def _seen(model: Artifact, root: Path) -> list[str]:
    """A warning if the folder is the very one that the model was built from."""
    data = model.manifest.data
    if data is None or data.digest != folder_digest(root):
        return []
    return [
        "the model was built from this very folder: it has seen these patients, and the scores are too high"
    ]


def _nothing_asked(folder: Folder, tasks: Sequence[Task]) -> str:
    wanted = "; ".join(f"{task.name}: dataset {task.dataset}, {task.field} {_values(task)}" for task in tasks)
    return (
        f"{folder.root} holds no recording that the model's tasks are about; its metadata.csv must have rows "
        f"as one of these: {wanted}"
    )


def _values(task: Task) -> str:
    values = [value for rule in task.classes for value in rule.values]
    rest = ["any other"] if any(rule.match is Match.REST for rule in task.classes) else []
    return " or ".join([*values, *rest])


def _class_name(task: Task, member: Member) -> str:
    return task.classes[member.labels[task.name]].name if task.name in member.labels else ""
