"""The bench stage on a real bundle, teacher and Dataset."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.bench.report import Report
from acula_edge.bench.stage import MEASURED, BenchInputs, run
from acula_edge.bench.systems import LIBRARY, PANEL, SYSTEMS
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.encoders.teacher_model import TeacherModel
from acula_edge.environment import key_of
from acula_edge.errors import ContractError, ExistsError
from acula_edge.evidence.accuracy import evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.results import Accuracy
from acula_edge.frontend import log_mel
from acula_edge.runtime.runner import open_runner
from tests.bench.conftest import CONFIG


@pytest.fixture(scope="module")
def inputs(
    mini_bundle: Artifact,
    mini_dataset: Artifact,
    mini_teacher: Artifact,
    tmp_path_factory: pytest.TempPathFactory,
) -> BenchInputs:
    """The Dataset comes without the audio of train and val: bench has no business there."""
    folder = tmp_path_factory.mktemp("dataset") / "dataset"
    shutil.copytree(mini_dataset.path, folder)
    dataset = Artifact.open(folder)
    for split in (Split.TRAIN, Split.VAL):
        (folder / f"audio_{split}.npy").unlink()
    return BenchInputs(mini_bundle, dataset, mini_teacher)


@pytest.fixture(scope="module")
def artifact(inputs: BenchInputs, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return run(CONFIG, inputs, tmp_path_factory.mktemp("report") / "report")


def test_clocked_files_are_measured_and_scores_are_not(artifact: Artifact, inputs: BenchInputs) -> None:
    assert artifact.manifest.kind is ArtifactKind.REPORT
    assert set(artifact.manifest.measured) == set(MEASURED)
    assert {entry.name for entry in artifact.manifest.files} == {"scores.json", "accuracy.json"}
    assert artifact.verify() == []
    digests = [inputs.bundle.digest, inputs.dataset.digest, inputs.teacher.digest]
    assert artifact.manifest.key == key_of(ArtifactKind.REPORT, CONFIG, digests)


def test_second_run_gives_the_same_digest(artifact: Artifact, inputs: BenchInputs, tmp_path: Path) -> None:
    assert run(CONFIG, inputs, tmp_path / "again").digest == artifact.digest


def test_accuracy_follows_from_the_scores_alone(artifact: Artifact, inputs: BenchInputs) -> None:
    scores = artifact.read_json("scores.json")
    dataset = Dataset.open(inputs.dataset)
    recordings = [recording for recording in dataset.of(Split.TEST) if recording.labels]
    assert set(scores["recordings"]) == {recording.id for recording in recordings}
    rows = [scores["recordings"][recording.id] for recording in recordings]
    assert [row["labels"] for row in rows] == [recording.labels for recording in recordings]
    ran = [system.name for system in SYSTEMS if system is not LIBRARY]  # a phone has no C library
    logits = {name: np.array([row["logits"][name] for row in rows]) for name in ran}
    cohort = Cohort(tuple(map(Member.of_recording, recordings)))
    bootstrap = (CONFIG.bootstrap_resamples, CONFIG.seed)
    assert evaluate(dataset.tasks, cohort, logits, PANEL, *bootstrap) == _accuracy(artifact)


def test_scores_are_those_of_each_runtime(artifact: Artifact, inputs: BenchInputs) -> None:
    """The same logits by hand, from the audio of the Dataset."""
    rows = artifact.read_json("scores.json")["recordings"]
    dataset = Dataset.open(inputs.dataset)
    runners = {
        "student": open_runner(inputs.bundle.file("model.onnx")),
        "int8_pte": open_runner(inputs.bundle.file("model_pcm.pte")),
        "int8_tflite": open_runner(inputs.bundle.file("model_pcm.tflite")),
    }
    for recording in [item for item in dataset.of(Split.TEST) if item.labels][:5]:
        clips = dataset.clips(recording)
        for name, runner in runners.items():
            batch = log_mel(clips, dataset.contract)[:, None] if name == "student" else clips
            expected = runner.run(batch).logits.mean(axis=0)
            np.testing.assert_allclose(rows[recording.id]["logits"][name], expected, atol=1e-6)
        waveform = dataset.waveform(recording, recording.sample_rate_hz)
        for variant in ("base", "aligned", "shuffled"):
            expected = TeacherModel.open(inputs.teacher, variant).logits(waveform, recording.sample_rate_hz)
            np.testing.assert_allclose(rows[recording.id]["logits"][variant], expected, atol=1e-5)


def test_auroc_is_sklearns(artifact: Artifact, inputs: BenchInputs) -> None:
    rows = artifact.read_json("scores.json")["recordings"].values()
    tasks = Dataset.open(inputs.dataset).tasks
    for system in _accuracy(artifact).systems:
        for task in tasks:
            own = [row for row in rows if task.name in row["labels"]]
            labels = [row["labels"][task.name] for row in own]
            if task.n_logits == 1 and len(set(labels)) == 2:
                column = logit_slices(tasks)[task.name].start
                scores = [row["logits"][system.system][column] for row in own]
                assert system.tasks[task.name].value == pytest.approx(roc_auc_score(labels, scores))


def test_report_is_whole(artifact: Artifact, inputs: BenchInputs) -> None:
    report = Report.model_validate(artifact.read_json("report.json"))
    assert report.accuracy == _accuracy(artifact)
    assert report.performance.model_dump(mode="json") == artifact.read_json("latency.json")
    assert [parent.digest for parent in report.parents] == [one.digest for one in inputs.all]
    assert len(report.parity) == len(inputs.bundle.read_json("parity.json")["hops"])
    assert report.fidelity is not None
    assert report.fidelity.model_dump(mode="json") == inputs.bundle.read_json("fidelity.json")
    assert report.gates is not None
    assert {point.system for point in report.operating} == {"student", "int8_pte", "int8_tflite"}
    assert artifact.file("report.md").read_text().startswith(report.verdict)
    assert artifact.file("report.html").read_text().startswith("<!DOCTYPE html>")


def test_another_front_end_is_refused(inputs: BenchInputs, tmp_path: Path) -> None:
    contract = {**(inputs.bundle.manifest.contract or {}), "log_floor": 1e-6}
    manifest = inputs.bundle.manifest.model_copy(update={"contract": contract})
    other = replace(inputs, bundle=replace(inputs.bundle, manifest=manifest))
    with pytest.raises(ContractError, match="log_floor"):
        run(CONFIG, other, tmp_path / "report")


def test_nothing_is_overwritten(artifact: Artifact, inputs: BenchInputs) -> None:
    with pytest.raises(ExistsError):
        run(CONFIG, inputs, artifact.path)


def _accuracy(artifact: Artifact) -> Accuracy:
    return Accuracy.model_validate(artifact.read_json("accuracy.json"))
