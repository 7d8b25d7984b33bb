"""A whole evaluation of a real teacher on real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices, task_score
from acula_edge.data.recording import Split
from acula_edge.encoders.teacher_model import TeacherModel, Variant
from acula_edge.errors import ExistsError
from acula_edge.evaluation.contest import CONTROLS
from acula_edge.evaluation.embeddings import embed_all
from acula_edge.evaluation.results import TeacherEvaluation
from acula_edge.evaluation.stage import NOTICE, evaluate
from acula_edge.evidence.results import Accuracy
from tests.evaluation.conftest import CONFIG


def test_report_is_whole_and_says_what_it_is_about(
    evaluation: Path, found: TeacherEvaluation, mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    artifact = Artifact.open(evaluation, ArtifactKind.EVALUATION)
    assert artifact.verify() == []
    assert {entry.name for entry in artifact.manifest.files} == {"report.json", "report.md", "report.html"}
    assert [parent.digest for parent in found.parents] == [mini_teacher.digest, mini_dataset.digest]
    assert found.notice == NOTICE
    assert found.split is Split.VAL
    assert len(found.data.findings) == len(mini_dataset.read_json("audit.json")) > 0
    assert any("chosen on them" in sentence for sentence in found.limitations)


def test_both_probes_compare_every_variant_with_base_and_controls(found: TeacherEvaluation) -> None:
    pairs = {
        (Variant.ALIGNED, Variant.BASE),
        *((Variant.ALIGNED, name) for name in CONTROLS),
        *((name, Variant.BASE) for name in CONTROLS),
    }
    for accuracy in (found.opera_probe, found.closed_form):
        assert {system.system for system in accuracy.systems} == set(Variant)
        assert {(one.system, one.against) for one in accuracy.differences} == pairs
        means = {system.system: system.mean.value for system in accuracy.systems}
        for one in accuracy.differences:
            assert one.mean.value == pytest.approx(means[one.system] - means[one.against])


def test_closed_form_scores_are_those_of_the_models_themselves(
    found: TeacherEvaluation, mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    model = TeacherModel.open(mini_teacher, Variant.ALIGNED)
    recordings = [one for one in dataset.of(Split.VAL) if one.labels]
    logits = np.stack(
        [model.logits(dataset.waveform(one, one.sample_rate_hz), one.sample_rate_hz) for one in recordings]
    )
    scored = _tasks_of(found.closed_form, Variant.ALIGNED)
    assert len(scored) >= 3
    for task in dataset.tasks:
        rows = [row for row, one in enumerate(recordings) if task.name in one.labels]
        labels = np.array([recordings[row].labels[task.name] for row in rows])
        if task.name in scored:
            expected = task_score(task, logits[rows][:, logit_slices(dataset.tasks)[task.name]], labels)
            assert scored[task.name] == pytest.approx(expected, abs=0.02)


def _tasks_of(accuracy: Accuracy, variant: str) -> dict[str, float]:
    tasks = next(system.tasks for system in accuracy.systems if system.system == variant)
    return {name: estimate.value for name, estimate in tasks.items() if estimate.value is not None}


def test_one_trunk_gives_the_embeddings_of_whole_encoders(
    mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    models = {name: TeacherModel.open(mini_teacher, name) for name in (Variant.BASE, Variant.ALIGNED)}
    recordings = dataset.of(Split.VAL)[:2]
    shared = embed_all(models, dataset, recordings, one_trunk=True)
    apart = embed_all(models, dataset, recordings, one_trunk=False)
    for name in models:
        np.testing.assert_allclose(shared[name], apart[name], rtol=1e-4, atol=1e-5)
    assert not np.allclose(shared[Variant.BASE], shared[Variant.ALIGNED], atol=1e-3)


def test_the_base_encoder_resembles_itself(found: TeacherEvaluation) -> None:
    shapes = {shape.system: shape for shape in found.shapes}
    assert set(shapes) == set(Variant)
    assert shapes[Variant.BASE].cka_base.value == pytest.approx(1.0)
    for name in set(Variant) - {Variant.BASE}:
        assert shapes[name].cka_base.value < 1
    assert all(shape.effective_rank.value > 1 for shape in shapes.values())


def test_retrieval_stands_beside_chance(found: TeacherEvaluation) -> None:
    assert {(search.system, search.direction) for search in found.retrieval} == {
        (name, direction)
        for name in (Variant.ALIGNED, Variant.SHUFFLED)
        for direction in ("recording to report", "report to recording")
    }
    for search in found.retrieval:
        assert [figure.name for figure in search.figures] == ["R@1", "R@5", "R@10", "median rank"]
        first, *_, tenth, _ = (figure.chance for figure in search.figures)
        assert 0 < first < tenth <= 1


def test_nothing_is_replaced_without_force(
    evaluation: Path, mini_teacher: Artifact, untouched: Artifact
) -> None:
    before = (evaluation / "manifest.json").read_bytes()
    with pytest.raises(ExistsError, match="--force"):
        evaluate(mini_teacher, untouched, Split.VAL, evaluation, config=CONFIG)
    assert (evaluation / "manifest.json").read_bytes() == before


def test_test_patients_are_scored_only_if_asked_for(
    mini_teacher: Artifact, untouched: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        evaluate(mini_teacher, untouched, Split.TEST, tmp_path / "test", config=CONFIG)
    assert not (tmp_path / "test").exists()
