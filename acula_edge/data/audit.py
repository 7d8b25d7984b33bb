"""Leak audit: what could make a result on these recordings look better than it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from acula_edge.data.audit_collection import COLLECTION, COLLECTION_CHECKS
from acula_edge.data.audit_probes import PROBE_CHECKS
from acula_edge.data.audit_reports import REPORT_CHECKS
from acula_edge.data.audit_shortcuts import SHORTCUT_CHECKS
from acula_edge.data.audit_sounds import SOUND_CHECKS
from acula_edge.data.audit_sources import SOURCE_CHECKS
from acula_edge.data.findings import Finding, Scene
from acula_edge.data.recording import Recording
from acula_edge.data.takes import Take
from acula_edge.data.tasks import Task
from acula_edge.errors import LeakError

_SET_CHECKS = (*SOURCE_CHECKS, *SOUND_CHECKS, *PROBE_CHECKS, *SHORTCUT_CHECKS, *REPORT_CHECKS)


def audit(takes: Sequence[Take], recordings: Sequence[Recording], tasks: Sequence[Task]) -> list[Finding]:
    """Every finding on every data set and across them; `takes` and `recordings` go together, one by one."""
    scenes = _scenes(takes, recordings, tasks)
    found = [finding for scene in scenes for check in _SET_CHECKS for finding in check(scene)]
    if len(scenes) > 1:
        whole = Scene(COLLECTION, takes, recordings, tasks)
        found += [finding for check in COLLECTION_CHECKS for finding in check(whole)]
    return found


def refuse_leaks(recordings: Sequence[Recording], takes: Sequence[Take]) -> None:
    """Check the finished split again, from the recordings alone.

    Raises LeakError, naming it, for a patient, a group or the very same samples in two splits.
    """
    seen: dict[tuple[str, str], Recording] = {}
    for recording, take in zip(recordings, takes, strict=True):
        marks = {"patient": recording.patient, "group": recording.group, "sound": take.pcm_sha256}
        for kind, value in marks.items():
            first = seen.setdefault((kind, value), recording)
            if value and first.split is not recording.split:
                raise LeakError(
                    f"{kind} {value} stands in {first.split} ({first.path}) and in {recording.split} "
                    f"({recording.path})"
                )


def _scenes(takes: Sequence[Take], recordings: Sequence[Recording], tasks: Sequence[Task]) -> list[Scene]:
    pairs: dict[str, list[tuple[Take, Recording]]] = defaultdict(list)
    for take, recording in zip(takes, recordings, strict=True):
        pairs[recording.dataset].append((take, recording))
    return [
        Scene(
            dataset,
            [take for take, _ in found],
            [recording for _, recording in found],
            [task for task in tasks if task.dataset == dataset],
        )
        for dataset, found in pairs.items()
    ]
