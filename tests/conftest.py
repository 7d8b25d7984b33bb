"""Fixtures that several test packages share."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, too: two test processes share two cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads halve a busy machine

from acula_edge import fetch, weights
from acula_edge.artifact import Artifact
from acula_edge.data.config import DataConfig
from acula_edge.data.simulator import simulate
from acula_edge.data.stage import DataInputs, run
from tests.recordings import recordings_folder

settings.register_profile("acula", deadline=None)  # a test never fails because the machine is busy
settings.load_profile("acula")

PATIENTS_PER_LABEL = 3
RECORDINGS_PER_PATIENT = 2


@pytest.fixture(scope="session")
def weights_home() -> Path:
    """The folder of weights, with the default models and openwakeword in it (downloaded if they are not)."""
    for name in ("openwakeword", "whisper-base", "minilm"):
        fetch.add(name)
        weights.verify(name)
    return weights.home()


@pytest.fixture(scope="session")
def recordings_root() -> Path | None:
    """The collection of real recordings; None where there is none."""
    return recordings_folder()


@pytest.fixture(scope="session")
def mini_folder(recordings_root: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recordings folder: a few patients of each label of the collection, else simulated ones."""
    folder = tmp_path_factory.mktemp("mini") / "recordings"
    folder.mkdir()
    if recordings_root is None:
        simulate(folder, 36, seed=0)
    else:
        _copy_some(recordings_root, folder)
    return folder


@pytest.fixture(scope="session")
def mini_dataset(mini_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The Dataset of `mini_folder`, made by the stage itself."""
    return run(DataConfig(), DataInputs(mini_folder), tmp_path_factory.mktemp("artifacts") / "dataset")


def _copy_some(source: Path, folder: Path) -> None:
    with (source / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = list(reader.fieldnames or [])
        rows = _some(list(reader))
    for row in rows:
        (folder / row["path"]).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / row["path"], folder / row["path"])
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def _some(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    chosen, patients, takes = [], Counter[tuple[str, str]](), Counter[tuple[str, str, str]]()
    for row in rows:
        label = (row["dataset"], row["label"])
        # Where no subject is named, each source database is cut like a patient.
        patient = (*label, row["patient_id"] or row["p2016_db"])
        if not takes[patient]:
            patients[label] += 1
        if patients[label] <= PATIENTS_PER_LABEL and takes[patient] < RECORDINGS_PER_PATIENT:
            chosen.append(row)
        takes[patient] += 1
    return chosen


@pytest.fixture(scope="session")
def mini_teacher(
    mini_dataset: Artifact, weights_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """A Teacher of `mini_dataset`: the smallest pretrained encoder, briefly aligned."""
    from acula_edge.teacher.config import TeacherConfig
    from acula_edge.teacher.stage import TeacherInputs
    from acula_edge.teacher.stage import run as run_teacher

    assert (weights_home / "minilm").is_dir()
    config = TeacherConfig(encoder="openwakeword", encoder_rate=0.3, epochs=2, batch_size=16)
    return run_teacher(config, TeacherInputs(mini_dataset), tmp_path_factory.mktemp("artifacts") / "teacher")


@pytest.fixture(scope="session")
def mini_student(
    mini_dataset: Artifact, mini_teacher: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """A student of `mini_teacher`, briefly trained."""
    from distill.config import DistillConfig
    from distill.stage import DistillInputs
    from distill.stage import run as run_distill

    inputs = DistillInputs(mini_teacher, mini_dataset)
    config = DistillConfig(epochs=12, batch_size=16)
    return run_distill(config, inputs, tmp_path_factory.mktemp("artifacts") / "student")


@pytest.fixture(scope="session")
def mini_quantized(mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The INT8 graphs of a student that is trained for a few seconds, without a teacher."""
    from quantize.config import QuantizeConfig
    from quantize.stage import QuantizeInputs
    from quantize.stage import run as run_quantize
    from tests.models import NO_GATES, make_student

    folder = tmp_path_factory.mktemp("quantized")
    student = make_student(mini_dataset, folder / "student")
    config = QuantizeConfig(calibration_clips=64, parity_clips=16, gates=NO_GATES)
    return run_quantize(config, QuantizeInputs(student, mini_dataset), folder / "quantized")


@pytest.fixture(scope="session")
def mini_bundle(
    mini_quantized: Artifact, mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """The Android bundle of `mini_quantized`, with eight golden clips."""
    from targets.config import TargetConfig
    from targets.stage import TargetInputs
    from targets.stage import run as run_target

    inputs = TargetInputs(mini_quantized, mini_dataset)
    return run_target(TargetConfig(golden_clips=8), inputs, tmp_path_factory.mktemp("bundle") / "android")
