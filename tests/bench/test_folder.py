"""Accuracy on a recordings folder that is not the build's own."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from acula_edge.artifact import Artifact
from acula_edge.bench import columns
from acula_edge.bench.folder import FolderBench, bench_folder, tasks_of, write_scores
from acula_edge.data.audio import read_audio, resample, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.data.dataset import Dataset
from acula_edge.data.folder import read_folder
from acula_edge.errors import DataError, UsageError
from acula_edge.runtime.runner import open_runner
from tests.bench.conftest import CONFIG


@pytest.fixture(scope="module")
def found(mini_bundle: Artifact, mini_folder: Path) -> FolderBench:
    return bench_folder(mini_bundle, mini_folder, CONFIG)


def test_every_labelled_recording_is_scored_whatever_its_split(
    found: FolderBench, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    labelled = {recording.id for recording in dataset.recordings if recording.labels}
    assert {member.id for member in found.cohort.members} == labelled
    assert found.result.recordings == len(labelled)
    assert found.result.broken == ()


def test_auroc_is_that_of_the_runtime_alone(
    found: FolderBench, mini_bundle: Artifact, mini_dataset: Artifact, mini_folder: Path
) -> None:
    """The same number by hand: runtime, clips and scikit-learn."""
    dataset = Dataset.open(mini_dataset)
    task = next(task for task in dataset.tasks if task.n_logits == 1)
    runner = open_runner(mini_bundle.file("model_pcm.tflite"))
    scores, labels = [], []
    for row in read_folder(mini_folder).rows:
        label = task.label_of(row.dataset, row.values)
        if label is not None:
            samples, rate_hz = read_audio(mini_folder / row.path)
            at_device = to_int16(resample(samples, rate_hz, dataset.contract.sample_rate_hz))
            logits = runner.run(cut_clips(at_device, dataset.contract.clip_samples)).logits.mean(axis=0)
            scores.append(logits[dataset.tasks.index(task)])
            labels.append(label)
    assert dataset.tasks.index(task) == 0
    by_hand = roc_auc_score(labels, np.round(scores, 6))
    (system,) = (one for one in found.result.accuracy.systems if one.system == "int8_tflite")
    assert system.tasks[task.name].value == pytest.approx(by_hand, abs=1e-9)


def test_the_bundles_decisions_are_measured(found: FolderBench, mini_bundle: Artifact) -> None:
    rules = {own["task"]: own for own in mini_bundle.read_json("thresholds.json")["tasks"]}
    assert {point.system for point in found.result.operating} == {"student", "int8_pte", "int8_tflite"}
    column = 0
    for task in found.tasks:
        own, points = rules[task.name], [p for p in found.result.operating if p.task == task.name]
        rows, labels = found.cohort.rows(task.name), found.cohort.labels(task.name)
        assert bool(points) == (own["rule"] is not None and len(set(labels.tolist())) == 2)
        for point in points:
            logits = found.logits[point.system][rows, column]
            said = 1 / (1 + np.exp(-logits / own["temperature"])) >= own["rule"]["threshold"]
            assert point.sensitivity.value == pytest.approx(said[labels == 1].mean())
            assert point.specificity.value == pytest.approx((~said[labels == 0]).mean())
        column += task.n_logits


def test_the_builds_own_folder_is_recognised(
    found: FolderBench, mini_bundle: Artifact, mini_folder: Path, tmp_path: Path
) -> None:
    assert any("this very folder" in warning for warning in found.result.warnings)
    other = _some(mini_folder, tmp_path / "other", 12)
    assert not any("this very folder" in w for w in bench_folder(mini_bundle, other, CONFIG).result.warnings)


def test_broken_recordings_are_left_out_with_their_reason(
    mini_bundle: Artifact, mini_folder: Path, tmp_path: Path
) -> None:
    folder = _some(mini_folder, tmp_path / "some", 12)
    rows = read_folder(folder).rows
    (folder / rows[0].path).write_bytes(b"")
    (folder / rows[1].path).unlink()
    result = bench_folder(mini_bundle, folder, CONFIG).result
    assert [item.line for item in result.broken] == [rows[0].line, rows[1].line]
    assert "the file is empty" in result.broken[0].reason
    assert result.recordings == 10


def test_folder_that_the_model_was_not_made_for_says_what_it_needs(
    mini_bundle: Artifact, mini_folder: Path, tmp_path: Path
) -> None:
    folder = _some(mini_folder, tmp_path / "some", 3)
    text = (folder / "metadata.csv").read_text()
    for task in tasks_of(mini_bundle):
        text = text.replace(f",{task.dataset},", ",another clinic,")
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match="no recording that the model's tasks are about") as error:
        bench_folder(mini_bundle, folder, CONFIG)
    for task in tasks_of(mini_bundle):
        assert f"{task.name}: dataset {task.dataset}, {task.field}" in str(error.value)


def test_nothing_readable_is_a_sentence(mini_bundle: Artifact, mini_folder: Path, tmp_path: Path) -> None:
    folder = _some(mini_folder, tmp_path / "some", 3)
    for row in read_folder(folder).rows:
        (folder / row.path).write_bytes(b"")
    with pytest.raises(DataError, match="not one recording could be read"):
        bench_folder(mini_bundle, folder, CONFIG)


def test_scores_are_written_with_their_labels(found: FolderBench, tmp_path: Path) -> None:
    write_scores(found, tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(found.cohort.members) * len(found.logits)
    for task in found.tasks:
        own = [row for row in rows if row["system"] == "int8_tflite" and row[f"label:{task.name}"]]
        assert len(own) == found.cohort.rows(task.name).size
        if task.n_logits == 1:
            names = [rule.name for rule in task.classes]
            labels = [names.index(row[f"label:{task.name}"]) for row in own]
            assert labels == found.cohort.labels(task.name).tolist()


def test_columns_go_with_their_values(found: FolderBench) -> None:
    logits = found.logits["int8_tflite"][0]
    names, values = columns.names(found.tasks), columns.values(found.tasks, logits)
    assert len(names) == len(values) == len(set(names))
    for task in found.tasks:
        own = [value for name, value in zip(names, values, strict=True) if name.startswith(f"{task.name}:")]
        assert not own or sum(own) == pytest.approx(1, abs=1e-3)


def test_teacher_is_scored_in_all_its_variants(mini_teacher: Artifact, mini_folder: Path) -> None:
    result = bench_folder(mini_teacher, mini_folder, CONFIG).result
    assert [system.system for system in result.accuracy.systems] == ["base", "shuffled", "aligned"]
    assert {(found.system, found.against) for found in result.accuracy.differences} == {
        ("aligned", "base"),
        ("shuffled", "base"),
        ("aligned", "shuffled"),
    }


def test_other_artifacts_are_refused(mini_dataset: Artifact, mini_folder: Path) -> None:
    with pytest.raises(UsageError, match="give a bundle or a teacher"):
        bench_folder(mini_dataset, mini_folder, CONFIG)


def _some(folder: Path, out: Path, count: int) -> Path:
    """The first rows of a recordings folder, from its first data set."""
    out.mkdir()
    header, *lines = (folder / "metadata.csv").read_text().splitlines()
    rows = read_folder(folder).rows[:count]
    (out / "metadata.csv").write_text("\n".join([header, *lines[:count]]) + "\n")
    for row in rows:
        (out / row.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / row.path, out / row.path)
    return out
