"""The part of the leak audit that listens: does a simple probe live on the source, or on the patient?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.findings import Finding, Scene
from acula_edge.data.shortcuts import folds_of, probe_auroc, ways_of_recording
from acula_edge.data.tasks import Task

_GAP = 0.1
_LEARNED = 0.6  # below which a probe has not learned anything that could mislead
_FEWEST = 10  # of each class, below which a probe says nothing


def _probes(scene: Scene) -> Iterator[Finding]:
    for task in scene.tasks:
        chosen, positive = scene.labelled(task)
        if task.n_logits == 1 and min(positive.sum(), (~positive).sum()) >= _FEWEST:
            yield from _probe(scene, task, chosen, positive)


def _probe(
    scene: Scene, task: Task, chosen: NDArray[np.int_], positive: NDArray[np.bool_]
) -> Iterator[Finding]:
    features = np.stack([scene.takes[i].fingerprint.level for i in chosen])
    recordings = [scene.recordings[i] for i in chosen]
    by_patient = folds_of([recording.patient or recording.id for recording in recordings])
    inside = probe_auroc(features, positive, by_patient)
    mixed = probe_auroc(features, positive, folds_of([recording.id for recording in recordings]))
    if mixed >= _LEARNED and mixed - inside >= _GAP:
        yield scene.warning(
            "patient_probe",
            f"task {task.name}: a probe on eight band powers scores AUROC {mixed:.2f} when patients are cut, "
            f"and {inside:.2f} when they are not; never split these recordings at random",
            task=task.name,
            auroc_patients_cut=round(mixed, 3),
            auroc_patients_whole=round(inside, 3),
        )
    for names, values in ways_of_recording(scene.takes).items():
        _, sources = np.unique([values[i] for i in chosen], return_inverse=True)
        across = probe_auroc(features, positive, sources)
        if inside >= _LEARNED and inside - across >= _GAP:
            yield scene.warning(
                "source_shift",
                f"task {task.name}: a probe on eight band powers scores AUROC {inside:.2f} on sources that "
                f"it has heard, and {across:.2f} on one that it has not ({names})",
                task=task.name,
                fields=names,
                auroc_inside=round(inside, 3),
                auroc_across=round(across, 3),
            )


PROBE_CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (_probes,)
