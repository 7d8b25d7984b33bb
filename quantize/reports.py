"""Reports: how well embeddings find the report of their own recording, in float and in INT8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.data.recording import Recording
from acula_edge.evidence.fidelity import ReportSearch
from acula_edge.evidence.retrieval import retrieval
from acula_edge.students.space import TextSpace
from quantize.hearing import PANEL, Heard

_TARGETS_FILE = "targets.safetensors"  # of a Teacher: `report.<recording>` (S,) in the shared space

Floats = NDArray[np.float32]


def report_rows(teacher: Artifact, space: TextSpace, recordings: Sequence[Recording]) -> dict[int, Floats]:
    """The report (E,) in the student's space of each recording that has one, by its position."""
    from safetensors import safe_open

    with safe_open(teacher.file(_TARGETS_FILE), framework="numpy") as stored:
        known = set(stored.keys())
        told = {
            row: stored.get_tensor(name)
            for row, recording in enumerate(recordings)
            if (name := f"report.{recording.id}") in known
        }
    if not told:
        return {}
    return dict(zip(told, space.reduce(np.stack(list(told.values()))), strict=True))


def searches(heard: Heard, rows: dict[int, Floats]) -> tuple[ReportSearch, ...]:
    """From recording to report among the different reports of the recordings in `rows`, by each system."""
    if not rows:
        return ()
    told = list(rows)
    texts, said = np.stack(list(rows.values())), [heard.recordings[row].report for row in told]
    found = []
    for system in PANEL.systems:
        way = retrieval(heard.embedding[system.name][told], texts, said).audio_to_report
        found.append(
            ReportSearch(
                system=system.name,
                title=system.title,
                recordings=len(told),
                candidates=way.candidates,
                recall={str(depth): value for depth, value in way.recall.items()},
                chance={str(depth): value for depth, value in way.chance_recall.items()},
                median_rank=way.median_rank,
            )
        )
    return tuple(found)
