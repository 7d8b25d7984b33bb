"""The part of the leak audit that looks at patients, splits, and how the recordings were made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations

from acula_edge.data.findings import Finding, Scene
from acula_edge.data.recording import Split
from acula_edge.data.shortcuts import cramers_v, rate_rule_auroc, ways_of_recording
from acula_edge.data.splits import GROUP_FIELD, official_splits
from acula_edge.data.tasks import Task

_STRONG_V = 0.2
_STRONG_AUROC = 0.65


def _disjoint(scene: Scene) -> Iterator[Finding]:
    parts: dict[str, set[Split]] = defaultdict(set)
    for recording in scene.recordings:
        parts[recording.group].add(recording.split)
    counts = Counter(split for found in parts.values() for split in found)
    cut = sum(len(found) > 1 for found in parts.values())
    yield scene.info(
        "disjoint",
        f"{len(parts)} patients or groups; {cut} of them stand in more than one split",
        groups=len(parts),
        in_two_splits=cut,
        groups_by_split={split: counts[split] for split in Split},
    )


def _unnamed(scene: Scene) -> Iterator[Finding]:
    unnamed = sum(not recording.patient for recording in scene.recordings)
    if not unnamed:
        return
    field = GROUP_FIELD.get(scene.dataset)
    mend = f"they are grouped by {field}" if field else "each counts as a patient of its own"
    yield scene.warning(
        "unnamed_patients",
        f"{unnamed} of {len(scene.recordings)} recordings do not name the patient; {mend}",
        recordings=unnamed,
        of=len(scene.recordings),
    )


def _split_names(scene: Scene) -> Iterator[Finding]:
    patients: dict[str, set[str]] = defaultdict(set)
    for take in scene.takes:
        if take.row.split:
            patients[take.row.split] |= {take.row.patient} - {""}
    if not patients:
        return
    kept = bool(official_splits(take.row for take in scene.takes))
    names = ", ".join(sorted(patients))
    yield scene.info(
        "official_split",
        f"the column split says {names}: {'kept as it is' if kept else 'no train and test of patients'}",
        patients={name: len(found) for name, found in sorted(patients.items())},
        kept=int(kept),
    )
    for first, second in combinations(sorted(patients), 2):
        shared = patients[first] & patients[second]
        if shared:
            yield scene.warning(
                "shared_patients",
                f"the splits {first} and {second} of the source share {len(shared)} patients, so they are "
                "not used as train and test",
                shared=len(shared),
                patients={first: len(patients[first]), second: len(patients[second])},
            )


def _classes(scene: Scene) -> Iterator[Finding]:
    for task in scene.tasks:
        found = Counter(
            (recording.split, recording.labels[task.name])
            for recording in scene.recordings
            if task.name in recording.labels
        )
        for split in Split:
            missing = [rule.name for k, rule in enumerate(task.classes) if not found[split, k]]
            if missing:
                yield scene.warning(
                    "missing_class",
                    f"task {task.name}: {split} has no recording of {', '.join(missing)}",
                    task=task.name,
                    split=split,
                )


def _predictors(scene: Scene) -> Iterator[Finding]:
    for names, values in ways_of_recording(scene.takes).items():
        v = _association(scene, values)
        rules = {task.name: _rate_rule(scene, task, values) for task in scene.tasks if task.n_logits == 1}
        strong = {name: round(value, 3) for name, value in rules.items() if value >= _STRONG_AUROC}
        if v < _STRONG_V and not strong:
            continue
        yield scene.warning(
            "source_predicts_class",
            f"{names} tells the label without listening (Cramer's V {v:.2f})"
            + "".join(f", AUROC {value:.2f} on {name}" for name, value in strong.items()),
            fields=names,
            cramers_v=round(v, 3),
            rate_rule_auroc=strong,
            labels_of_one_value=_exclusive(scene, values),
        )


def _association(scene: Scene, values: list[str]) -> float:
    # A patient counts once for each value and label: recordings of one patient are not independent.
    seen = sorted(
        {
            (recording.patient or recording.id, value, take.row.label)
            for recording, take, value in zip(scene.recordings, scene.takes, values, strict=True)
            if take.row.label
        }
    )
    return cramers_v([value for _, value, _ in seen], [label for _, _, label in seen]) if seen else 0.0


def _rate_rule(scene: Scene, task: Task, values: list[str]) -> float:
    chosen, positive = scene.labelled(task)
    return rate_rule_auroc([values[i] for i in chosen], positive) if len(chosen) else 0.0


def _exclusive(scene: Scene, values: list[str]) -> dict[str, str]:
    """Labels that stand with one value only, where there are several."""
    seen: dict[str, set[str]] = defaultdict(set)
    for value, take in zip(values, scene.takes, strict=True):
        if take.row.label:
            seen[take.row.label].add(value)
    return {label: found.pop() for label, found in sorted(seen.items()) if len(found) == 1}


SOURCE_CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    _disjoint,
    _unnamed,
    _split_names,
    _classes,
    _predictors,
)
