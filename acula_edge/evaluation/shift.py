"""Shift: what alignment does where the scored recordings come from databases that training never heard."""

from __future__ import annotations

from collections.abc import Sequence

from acula_edge.data.recording import Recording, Split
from acula_edge.data.splits import GROUP_FIELD
from acula_edge.data.tasks import Task
from acula_edge.encoders.teacher_model import Variant
from acula_edge.evidence.results import Accuracy, Estimate
from acula_edge.evidence.text import difference, number


def shifts(
    tasks: Sequence[Task], recordings: Sequence[Recording], split: Split, accuracy: Accuracy
) -> tuple[str, ...]:
    """A sentence for each task whose data set is split by source database, from its own numbers."""
    gain = accuracy.difference(Variant.ALIGNED, Variant.BASE)
    scores = {system.system: system.tasks for system in accuracy.systems}
    return tuple(
        f"{_where(task, recordings, split)}: alignment {_moves(gain.tasks[task.name])} across this shift, "
        f"{number(scores[Variant.BASE][task.name])} before and "
        f"{number(scores[Variant.ALIGNED][task.name])} after, difference {difference(gain.tasks[task.name])}."
        for task in tasks
        if gain and task.dataset in GROUP_FIELD and task.name in gain.tasks
    )


def _where(task: Task, recordings: Sequence[Recording], split: Split) -> str:
    here, there = (_databases(task, recordings, part) for part in (split, Split.TRAIN))
    return (
        f"{task.name} is scored on {here} of {task.dataset}, while the training recordings come from {there}"
    )


def _databases(task: Task, recordings: Sequence[Recording], split: Split) -> str:
    field = GROUP_FIELD[task.dataset]
    mine = [found for found in recordings if found.split is split and task.name in found.labels]
    names = sorted({found.metadata.get(field, "") for found in mine})
    return f"database{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _moves(gain: Estimate) -> str:
    if gain.low is not None and gain.low > 0:
        return "helps"
    if gain.high is not None and gain.high < 0:
        return "does harm"
    return "changes nothing for certain"
