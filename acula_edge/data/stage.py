"""The data stage: from a recordings folder, or the simulator, to a Dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, DataSummary, Description, stage_key
from acula_edge.data import dataset as files
from acula_edge.data.audit import audit, refuse_leaks
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset, audio_file
from acula_edge.data.folder import Folder, folder_digest, read_folder
from acula_edge.data.recording import Recording, Split
from acula_edge.data.reports import surface_forms
from acula_edge.data.simulator import SIMULATED_DATASETS, simulate
from acula_edge.data.splits import Member, assign_splits, group_members
from acula_edge.data.takes import Take, refuse_broken, sounds_of, take_all
from acula_edge.data.task_choice import refuse_untrainable, resolve_tasks
from acula_edge.data.tasks import Task
from acula_edge.environment import code_version, environment
from acula_edge.errors import DataError
from acula_edge.frontend import learn_normalisation
from acula_edge.progress import say

SIMULATED = "simulated"
_SPOOL = "decoded.pcm"


@dataclass(frozen=True)
class DataInputs:
    """A recordings folder; None asks for simulated recordings."""

    folder: Path | None


def data_key(config: DataConfig, inputs: DataInputs) -> str:
    """Key of the Dataset that `run` would make: it changes with the config, the folder and the code."""
    return _key(config, folder_digest(inputs.folder) if inputs.folder else SIMULATED)


def run(config: DataConfig, inputs: DataInputs, out: Path) -> Artifact:
    """Read, split, audit and write the recordings.

    Raises DataError for a folder, a row, a task or too many files that can not be used, LeakError for a
    patient in two splits.
    """
    with ExitStack() as stack:
        root = inputs.folder
        if root is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            say(f"No data folder: simulating the recordings of {config.simulated_patients} patients")
            simulate(root, config.simulated_patients, config.seed)
        digest = folder_digest(root)
        key = _key(config, digest if inputs.folder else SIMULATED)
        writer = stack.enter_context(ArtifactWriter(out))
        dataset = _write(config, read_folder(root), writer)
        normalisation = learn_normalisation(map(dataset.clips, dataset.of(Split.TRAIN)), config.contract)
        return writer.commit(
            Description(
                kind=ArtifactKind.DATASET,
                key=key,
                contract=config.contract.with_normalisation(normalisation).model_dump(mode="json"),
                config=config.model_dump(mode="json"),
                data=DataSummary(digest=digest, splits={part: len(dataset.of(part)) for part in Split}),
                seed=config.seed,
                environment=environment(),
            )
        )


def _key(config: DataConfig, source: str) -> str:
    kind = ArtifactKind.DATASET
    return stage_key(kind, config.model_dump(mode="json"), [source], code_version(kind))


def _write(config: DataConfig, folder: Folder, writer: ArtifactWriter) -> Dataset:
    tasks = resolve_tasks(folder.rows, config.tasks)
    spool = writer.path / _SPOOL
    takes, broken = take_all(folder, spool, config.min_seconds)
    refuse_broken(broken, len(folder.rows), config.max_broken_fraction)
    recordings = _recordings(config, takes, tasks)
    _refuse_empty(recordings)
    refuse_untrainable(tasks, recordings)
    refuse_leaks(recordings, takes)
    _write_audio(writer.path, np.memmap(spool, np.int16, "r"), takes, recordings)
    spool.unlink()
    simulated = any(row.dataset in SIMULATED_DATASETS for row in folder.rows)
    writer.write_json(files.SOURCE, {"simulated": simulated})
    writer.write_json(files.TASKS, [task.model_dump(mode="json") for task in tasks])
    writer.write_json(files.RECORDINGS, [recording.to_json() for recording in recordings])
    writer.write_json(files.BROKEN, [item.to_json() for item in broken])
    writer.write_json(files.AUDIT, [item.to_json() for item in audit(takes, recordings, tasks)])
    return Dataset(writer.path, config.contract, tasks, tuple(recordings), simulated)


def _recordings(config: DataConfig, takes: Sequence[Take], tasks: Sequence[Task]) -> list[Recording]:
    labels = [_labels(take, tasks) for take in takes]
    reports = [
        surface_forms(take.row.dataset, take.row.values, config.surface_forms, config.seed) for take in takes
    ]
    members = [
        Member(take.row, sounds, frozenset(f"{task}={label}" for task, label in found.items()), bool(said))
        for take, sounds, found, said in zip(takes, sounds_of(takes), labels, reports, strict=True)
    ]
    splits = assign_splits(members, config.fractions, config.seed)
    ends = dict.fromkeys(Split, 0)
    recordings = []
    groups = group_members(members)
    for take, found, said, split, group in zip(takes, labels, reports, splits, groups, strict=True):
        recordings.append(replace(_recording(take, split, group, ends[split]), labels=found, reports=said))
        ends[split] += take.n_samples
    return recordings


def _labels(take: Take, tasks: Sequence[Task]) -> dict[str, int]:
    found = {task.name: task.label_of(take.row.dataset, take.row.values) for task in tasks}
    return {name: label for name, label in found.items() if label is not None}


def _recording(take: Take, split: Split, group: str, start: int) -> Recording:
    return Recording(
        id=take.row.id,
        path=take.row.path,
        dataset=take.row.dataset,
        patient=take.row.patient,
        group=group,
        split=split,
        sample_rate_hz=take.rate_hz,
        start=start,
        n_samples=take.n_samples,
        sha256=take.sha256,
        metadata=take.row.values,
    )


def _refuse_empty(recordings: Sequence[Recording]) -> None:
    for split in Split:
        if not any(recording.split is split for recording in recordings):
            groups = len({recording.group for recording in recordings})
            raise DataError(
                f"no recording is left for {split}: the folder holds {groups} patients or sources that can "
                "not be cut; add patients, or an official split in the column split"
            )


def _write_audio(
    folder: Path, spool: NDArray[np.int16], takes: Sequence[Take], recordings: Sequence[Recording]
) -> None:
    for split in Split:
        mine = [pair for pair in zip(takes, recordings, strict=True) if pair[1].split is split]
        length = sum(take.n_samples for take, _ in mine)
        audio = np.lib.format.open_memmap(folder / audio_file(split), "w+", np.int16, (length,))
        for take, recording in mine:
            end = recording.start + recording.n_samples
            audio[recording.start : end] = spool[take.start : take.start + take.n_samples]
        audio.flush()
