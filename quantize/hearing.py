"""Hearing: every labelled validation recording as the float file and each INT8 file hear it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import Task
from acula_edge.errors import DataError
from acula_edge.evidence.accuracy import Panel, System
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.frontend import log_mel
from acula_edge.progress import track
from acula_edge.runtime.runner import Outputs, open_runner

Floats = NDArray[np.float32]

FLOAT = "float"
FILES: Mapping[str, str] = {
    FLOAT: "float.tflite",
    "int8_pte": "model.pte",
    "int8_tflite": "model.tflite",
}
INT8 = tuple(name for name in FILES if name != FLOAT)
PANEL = Panel(
    systems=(
        System(FLOAT, "Student, float32", "LiteRT"),
        System("int8_pte", "INT8 .pte", "ExecuTorch"),
        System("int8_tflite", "INT8 .tflite", "LiteRT"),
    ),
    comparisons=tuple((name, FLOAT, f"INT8, .{FILES[name].rpartition('.')[2]}") for name in INT8),
)


@dataclass(frozen=True)
class Heard:
    """Embeddings (n, E) and logits (n, K) of n recordings by each system, the mean over their clips."""

    tasks: tuple[Task, ...]
    recordings: Sequence[Recording]
    embedding: Mapping[str, Floats]
    logits: Mapping[str, Floats]

    @property
    def cohort(self) -> Cohort:
        """The recordings as members of a comparison."""
        return Cohort(tuple(map(Member.of_recording, self.recordings)))


def hear(folder: Path, dataset: Dataset) -> Heard:
    """Run the files in `folder` on each validation recording that has a label.

    Raises DataError if there is none.
    """
    recordings = [recording for recording in dataset.of(Split.VAL) if recording.labels]
    if not recordings:
        raise DataError("no validation recording has a label; add labelled recordings of more patients")
    runners = {name: open_runner(folder / file) for name, file in FILES.items()}
    rows: dict[str, list[Outputs]] = {name: [] for name in runners}
    for recording in track(recordings, len(recordings), "Hearing validation recordings"):
        features = log_mel(dataset.clips(recording), dataset.contract)[:, None]
        for name, runner in runners.items():
            rows[name].append(_mean(runner.run(features)))
    return Heard(
        dataset.tasks,
        recordings,
        {name: np.stack([row.embedding for row in found]) for name, found in rows.items()},
        {name: np.stack([row.logits for row in found]) for name, found in rows.items()},
    )


def _mean(clips: Outputs) -> Outputs:
    return Outputs(clips.embedding.mean(axis=0), clips.logits.mean(axis=0))
