"""Texts: wordings, centring on the training reports, and rewritten reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.data.reports.facts import Facts
from acula_edge.language.rewriter import RewriteResult
from acula_edge.teacher import texts
from acula_edge.teacher.config import TeacherConfig


@pytest.fixture(scope="module")
def recordings(mini_dataset: Artifact) -> list[Recording]:
    dataset = Dataset.open(mini_dataset)
    found = [*dataset.of(Split.TRAIN)[:12], *dataset.of(Split.VAL)[:6]]
    return [replace(found[0], reports=()), *found[1:]]


def test_wordings_are_repeated_where_there_are_fewer(recordings: list[Recording]) -> None:
    short = replace(recordings[1], reports=("one", "two"))
    assert texts.wordings_of([recordings[0], short], 3) == (("", "", ""), ("one", "two", "one"))


def test_embeddings_are_centred_on_the_training_reports(
    recordings: list[Recording], weights_home: Path
) -> None:
    assert (weights_home / "minilm").is_dir()
    config = TeacherConfig(surface_forms=2)
    found = texts.embed_reports(config, recordings, texts.wordings_of(recordings, 2))
    assert found.shape == (18, 2, 384)
    assert not found[0].any()  # nothing was reported
    train = found[1:12].reshape(-1, 384)
    assert np.abs(train.mean(axis=0)).max() < 1e-6
    assert np.abs(found[12:].reshape(-1, 384).mean(axis=0)).max() > 1e-4  # validation has another mean


def test_a_refused_rewriting_leaves_the_plain_report(
    recordings: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(reports: list[tuple[str, Facts]], _model: str, _folder: Path) -> list[RewriteResult]:
        return [
            RewriteResult(f"told: {plain}", True) if index % 2 else RewriteResult(plain, False, "invented")
            for index, (plain, _) in enumerate(reports)
        ]

    monkeypatch.setattr(texts, "rewrite_reports", half)
    before = texts.wordings_of(recordings, 2)
    after, counts = texts.rewritten(recordings, before, "any")
    assert counts == {"invented": 9, "accepted": 8}
    assert after[0] == ("", "")
    assert after[1] == before[1]
    assert after[2] == (f"told: {before[2][0]}", before[2][1])
