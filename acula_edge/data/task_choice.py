"""Which tasks a recordings folder is asked, and what they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from acula_edge.data.folder import SourceRow
from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import KNOWN_TASKS, ClassRule, Task
from acula_edge.errors import DataError, UsageError

# Sets too small to ask anything: they are read, split and reported, and have no task.
WITHOUT_TASK = frozenset({"icbhi_mini"})
MAX_DERIVED_CLASSES = 20
_NEGATIVE_NAMES = ("normal", "healthy", "negative", "0", "absent", "no")


def resolve_tasks(rows: Sequence[SourceRow], extra: tuple[Task, ...]) -> tuple[Task, ...]:
    """Known tasks whose data set and field are there, then `extra`, then derived ones.

    A data set that no task names gets one task over its distinct labels, `<dataset>_label`.
    Raises UsageError for a task name that is given twice, DataError for an extra task whose data set is
    not there, for a task with one class only, and for more labels than a derived task takes.
    """
    present = {row.dataset: True for row in rows}
    known = tuple(task for task in KNOWN_TASKS if _asks_for(task, rows))
    _check_extra(extra, known, set(present))
    named = {task.dataset for task in (*known, *extra)} | WITHOUT_TASK
    derived = (_derive(dataset, rows) for dataset in present if dataset not in named)
    tasks = (*known, *extra, *(task for task in derived if task is not None))
    for task in tasks:
        _refuse_one_class(task, rows)
    return tasks


def refuse_untrainable(tasks: Sequence[Task], recordings: Sequence[Recording]) -> None:
    """DataError if the train split lacks a class that another split has."""
    for task in tasks:
        found = {
            (recording.split, recording.labels[task.name])
            for recording in recordings
            if task.name in recording.labels
        }
        for split, label in sorted(found):
            if (Split.TRAIN, label) not in found:
                raise DataError(
                    f"task {task.name}: class {task.classes[label].name!r} is in {split} and not in train; "
                    "add recordings of it to train, or leave the official split out of the column split"
                )


def _asks_for(task: Task, rows: Sequence[SourceRow]) -> bool:
    return any(row.dataset == task.dataset and row.values.get(task.field) for row in rows)


def _check_extra(extra: tuple[Task, ...], known: tuple[Task, ...], present: set[str]) -> None:
    names = Counter(task.name for task in (*known, *extra))
    for task in extra:
        if names[task.name] > 1:
            raise UsageError(f"task {task.name} is given twice; choose another name")
        if task.dataset not in present:
            raise DataError(
                f"task {task.name}: the folder holds no data set {task.dataset}, it holds "
                f"{', '.join(sorted(present))}"
            )


def _derive(dataset: str, rows: Sequence[SourceRow]) -> Task | None:
    labels = sorted({row.label for row in rows if row.dataset == dataset and row.label}, key=_negative_first)
    if len(labels) > MAX_DERIVED_CLASSES:
        raise DataError(
            f"data set {dataset}: the column label has {len(labels)} different values, and a task takes "
            f"2 to {MAX_DERIVED_CLASSES} classes; merge labels, or give tasks in the config"
        )
    if not labels:
        return None
    classes = tuple(ClassRule(name=label, values=(label,)) for label in labels)
    return Task(name=f"{dataset}_label", dataset=dataset, classes=classes)


def _negative_first(label: str) -> tuple[bool, str]:
    return label.lower() not in _NEGATIVE_NAMES, label


def _refuse_one_class(task: Task, rows: Sequence[SourceRow]) -> None:
    labels = (task.label_of(row.dataset, row.values) for row in rows)
    found = {label for label in labels if label is not None}
    if len(found) < 2:
        only = task.classes[found.pop()].name if found else "none of its classes"
        raise DataError(
            f"task {task.name}: the recordings of data set {task.dataset} show {only!r} only in the column "
            f"{task.field}; a task needs two classes"
        )
