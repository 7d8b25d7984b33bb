"""The part of the leak audit that reads the reports, and counts what is not labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from acula_edge.data.findings import Finding, Scene
from acula_edge.data.recording import Recording, Split
from acula_edge.errors import DataError, LeakError


def refuse_report_leak(train_ids: Iterable[str], recordings: Sequence[Recording]) -> None:
    """Check that alignment reads reports of the train split alone; `train_ids` names what it reads.

    Raises LeakError for a recording of another split, or one whose patient or group stands in another
    split too, and DataError for an id that is not there.
    """
    by_id = {recording.id: recording for recording in recordings}
    held_out = {
        (kind, name): recording
        for recording in recordings
        if recording.split is not Split.TRAIN
        for kind, name in (("recording", recording.id), *_owners(recording))
    }
    for name in train_ids:
        if name not in by_id:
            raise DataError(f"recording {name} is not in the Dataset; take ids of its own recordings")
        for mark in (("recording", name), *_owners(by_id[name])):
            if mark in held_out:
                raise LeakError(
                    f"the report of {name} would be aligned to, and its {' '.join(mark)} stands in "
                    f"{held_out[mark].split}; align on train patients alone"
                )


def _owners(recording: Recording) -> list[tuple[str, str]]:
    marks = (("patient", recording.patient), ("group", recording.group))
    return [(kind, name) for kind, name in marks if name]


def _shared_reports(scene: Scene) -> Iterator[Finding]:
    learned = {recording.report for recording in scene.recordings if recording.split is Split.TRAIN}
    tested = [
        recording for recording in scene.recordings if recording.split is Split.TEST and recording.reports
    ]
    shared = [recording for recording in tested if recording.report in learned]
    if shared:
        yield scene.info(
            "shared_reports",
            f"{len(shared)} of {len(tested)} test recordings have a report that stands in train word for "
            "word, as recordings with the same facts do; reports of test patients are never read in training",
            recordings=len(shared),
            of=len(tested),
            texts=len({recording.report for recording in shared}),
        )


def _unlabelled(scene: Scene) -> Iterator[Finding]:
    silent = sum(not recording.reports for recording in scene.recordings)
    unasked = sum(not recording.labels for recording in scene.recordings)
    if silent or (scene.tasks and unasked):
        yield scene.info(
            "unlabelled",
            f"{unasked} of {len(scene.recordings)} recordings are in no task; of {silent} nothing clinical "
            "is known: these have no report and serve self-supervision alone",
            in_no_task=unasked,
            without_report=silent,
            of=len(scene.recordings),
        )


REPORT_CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (_shared_reports, _unlabelled)
