"""The part of the leak audit that looks across data sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

from acula_edge.data.findings import Finding, Scene
from acula_edge.data.fingerprint import near_duplicates
from acula_edge.data.recording import Split
from acula_edge.data.shortcuts import cramers_v, rate_rule_auroc

COLLECTION = "all data sets"
_STRONG_V = 0.2
_STRONG_AUROC = 0.65
_NAMED = 5


def _shared_patients(scene: Scene) -> Iterator[Finding]:
    sets: dict[str, set[str]] = defaultdict(set)
    for recording in scene.recordings:
        sets[recording.patient].add(recording.dataset)
    shared = sorted(name for name, found in sets.items() if name and len(found) > 1)
    if shared:
        yield scene.info(
            "patients_of_several_sets",
            f"{len(shared)} patients stand in several data sets; each is kept in one split",
            patients=len(shared),
            first=shared[:_NAMED],
        )


def _same_sound(scene: Scene) -> Iterator[Finding]:
    pairs = [
        (scene.recordings[i], scene.recordings[j])
        for i, j in near_duplicates([take.fingerprint for take in scene.takes])
        if scene.recordings[i].dataset != scene.recordings[j].dataset
    ]
    if pairs:
        cut = sum(one.split is not other.split for one, other in pairs)
        yield scene.warning(
            "same_sound",
            f"{len(pairs)} pairs of recordings of different data sets sound like one recording; {cut} of "
            "them are cut by a split",
            pairs=len(pairs),
            across_splits=cut,
            files=[[one.path, other.path] for one, other in pairs[:_NAMED]],
        )


def _set_alone(scene: Scene) -> Iterator[Finding]:
    """What the name of the data set gives away of the split, and of positive or not over pooled tasks."""
    placed = [recording for recording in scene.recordings if recording.split is not Split.VAL]
    v = cramers_v([recording.dataset for recording in placed], [recording.split for recording in placed])
    first = {task.dataset: task for task in reversed(scene.tasks) if task.n_logits == 1}
    pooled = [
        (recording.dataset, recording.labels[first[recording.dataset].name] > 0)
        for recording in scene.recordings
        if recording.dataset in first and first[recording.dataset].name in recording.labels
    ]
    auroc = rate_rule_auroc([name for name, _ in pooled], np.array([sign for _, sign in pooled], dtype=bool))
    told = v >= _STRONG_V or auroc >= _STRONG_AUROC
    yield (scene.warning if told else scene.info)(
        "set_alone",
        f"the data set alone tells train from test with Cramer's V {v:.2f}, and positive from negative with "
        f"AUROC {auroc:.2f} where the first task of each set is pooled; "
        + ("never pool scores over data sets" if told else "that is little"),
        cramers_v_split=round(v, 3),
        auroc_pooled_label=round(auroc, 3) if np.isfinite(auroc) else None,
    )


COLLECTION_CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    _shared_patients,
    _same_sound,
    _set_alone,
)
