"""One evaluation of a real teacher on real recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import audio_file
from acula_edge.data.recording import Split
from acula_edge.evaluation.config import EvaluationConfig
from acula_edge.evaluation.results import TeacherEvaluation
from acula_edge.evaluation.stage import evaluate

CONFIG = EvaluationConfig(probe_seeds=2, bootstrap_resamples=100)


@pytest.fixture(scope="session")
def untouched(mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The Dataset without the audio of the test split."""
    folder = tmp_path_factory.mktemp("dataset") / "dataset"
    shutil.copytree(mini_dataset.path, folder)
    dataset = Artifact.open(folder)
    (folder / audio_file(Split.TEST)).unlink()
    return dataset


@pytest.fixture(scope="session")
def evaluation(mini_teacher: Artifact, untouched: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation") / "val"
    evaluate(mini_teacher, untouched, Split.VAL, folder, config=CONFIG)
    return folder


@pytest.fixture(scope="session")
def found(evaluation: Path) -> TeacherEvaluation:
    return TeacherEvaluation.model_validate_json((evaluation / "report.json").read_text(encoding="utf-8"))
