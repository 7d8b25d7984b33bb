"""fidelity.json of the stage, by other means: scikit-learn, numpy, and the runtimes directly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.evidence.fidelity import Fidelity
from acula_edge.evidence.fidelity_tables import geometry_table, layer_table
from acula_edge.frontend import log_mel
from acula_edge.runtime.runner import open_runner
from acula_edge.students.space import TextSpace
from quantize.fidelity import mean_auroc
from quantize.hearing import FLOAT, Heard, hear
from quantize.reports import report_rows, searches
from tests.recordings import needs_recordings


@pytest.fixture(scope="module")
def found(mini_quantized: Artifact) -> Fidelity:
    return Fidelity.model_validate(mini_quantized.read_json("fidelity.json"))


@pytest.fixture(scope="module")
def heard(mini_quantized: Artifact, mini_dataset: Artifact) -> Heard:
    return hear(mini_quantized.path, Dataset.open(mini_dataset))


@needs_recordings
def test_validation_recordings_alone_are_heard_with_all_their_clips(
    heard: Heard, mini_dataset: Artifact, mini_quantized: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    assert heard.recordings
    assert all(recording.split == "val" and recording.labels for recording in heard.recordings)
    longest = int(np.argmax([len(dataset.clips(recording)) for recording in heard.recordings]))
    clips = dataset.clips(heard.recordings[longest])
    assert len(clips) > 1
    outputs = open_runner(mini_quantized.file("model.pte")).run(log_mel(clips, dataset.contract)[:, None])
    np.testing.assert_array_equal(heard.logits["int8_pte"][longest], outputs.logits.mean(axis=0))
    np.testing.assert_array_equal(heard.embedding["int8_pte"][longest], outputs.embedding.mean(axis=0))


def test_auroc_is_scikit_learns(found: Fidelity, heard: Heard) -> None:
    slices = logit_slices(heard.tasks)
    scored = 0
    for system in found.accuracy.systems:
        for task in heard.tasks:
            labels = [r.labels.get(task.name) for r in heard.recordings]
            rows = [row for row, label in enumerate(labels) if label is not None]
            known = [labels[row] for row in rows]
            if task.n_logits == 1 and len(set(known)) == 2:
                expected = roc_auc_score(known, heard.logits[system.system][rows, slices[task.name].start])
                assert system.tasks[task.name].value == pytest.approx(expected)
                scored += 1
    assert scored >= 3


def test_geometry_is_its_definition(found: Fidelity, heard: Heard) -> None:
    for one in found.geometry:
        x, y = (heard.embedding[name].astype(np.float64) for name in (FLOAT, one.system))
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        gram = [part @ part.T for part in (x, y)]
        expected = (gram[0] * gram[1]).sum() / np.linalg.norm(gram[0]) / np.linalg.norm(gram[1])
        assert one.cka == pytest.approx(expected, abs=1e-6)
        assert one.neighbour_chance <= one.neighbour_overlap <= 1


def test_a_recording_finds_its_own_report_among_those_that_the_teacher_knows(
    heard: Heard, tmp_path: Path
) -> None:
    """A teacher that told, of every second recording, its report; ranks by numpy."""
    rng = np.random.default_rng(0)
    dim = heard.embedding[FLOAT].shape[1]
    basis, _ = np.linalg.qr(rng.normal(size=(192, dim)))
    space = TextSpace(basis.astype(np.float32), {}, 1.0)
    told = {
        row: (heard.embedding[FLOAT][row] @ basis.T + rng.normal(scale=0.3, size=192)).astype(np.float32)
        for row in range(0, len(heard.recordings), 2)
    }
    with ArtifactWriter(tmp_path / "teacher") as writer:
        named = {f"report.{heard.recordings[row].id}": text for row, text in told.items()}
        save_file(named, writer.path / "targets.safetensors")
        teacher = writer.commit(Description(kind=ArtifactKind.TEACHER, key="told"))
    rows = report_rows(teacher, space, heard.recordings)
    assert set(rows) == set(told)
    texts = {heard.recordings[row].report: rows[row] for row in sorted(rows, reverse=True)}
    first = []
    for row in rows:
        cosines = {said: float(heard.embedding["int8_pte"][row] @ text) for said, text in texts.items()}
        first.append(max(cosines, key=lambda said: cosines[said]) == heard.recordings[row].report)
    found = {one.system: one for one in searches(heard, rows)}
    assert found["int8_pte"].recall["1"] == pytest.approx(np.mean(first))
    assert found["int8_pte"].candidates == len(texts)
    assert found[FLOAT].recall["1"] > found[FLOAT].chance["1"]
    assert searches(heard, {}) == ()


def test_mean_auroc_leaves_out_tasks_of_one_class(heard: Heard) -> None:
    rows = [row for row, recording in enumerate(heard.recordings) if recording.labels][:1]
    assert mean_auroc(heard.tasks, [heard.recordings[row] for row in rows], heard.logits[FLOAT][rows]) is None
    value = mean_auroc(heard.tasks, heard.recordings, heard.logits[FLOAT])
    assert value is not None
    assert 0 <= value <= 1


def test_tables_show_every_layer_and_file(found: Fidelity) -> None:
    shown = layer_table(found)
    assert [row[0].text for row in shown.rows] == [layer.layer for layer in found.layers["model.pte"]]
    assert {len(row) for row in shown.rows} == {len(shown.header)}
    files = geometry_table(found)
    assert [row[0].text for row in files.rows] == ["INT8 .pte", "INT8 .tflite"]
    assert {len(row) for row in files.rows} == {len(files.header)}


def test_every_layer_is_measured(found: Fidelity) -> None:
    pte, tflite = found.layers.values()
    assert [layer.layer for layer in pte] == [layer.layer for layer in tflite]
    assert all(layer.alone_db is not None and layer.alone_db > 20 for layer in pte)
    assert [effect.layer for effect in found.float_effects] == [
        layer.layer for layer in pte if layer.weight_scales is not None
    ]
