"""The teacher report: what it must say, in Markdown and in HTML."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from acula_edge.evaluation.report import page_of
from acula_edge.evaluation.results import TeacherEvaluation
from acula_edge.evidence.text import difference, number


@pytest.fixture(scope="module", params=["md", "html"])
def text(evaluation: Path, request: pytest.FixtureRequest) -> str:
    source = (evaluation / f"report.{request.param}").read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>", " ", source, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body))).strip()


def test_verdict_is_the_first_line_and_the_notice_follows(text: str, found: TeacherEvaluation) -> None:
    start = text.index(found.verdict)
    assert "lignment" not in text[:start]
    assert found.notice in text[start:][: len(found.verdict) + 100]


def test_every_figure_finding_and_limit_is_shown(text: str, found: TeacherEvaluation) -> None:
    for accuracy in (found.opera_probe, found.closed_form, found.zero_shot):
        assert accuracy is not None
        for system in accuracy.systems:
            assert system.title in text
            assert number(system.mean) in text
    for figure in (figure for search in found.retrieval for figure in search.figures):
        assert number(figure.value) in text
    for shape in found.shapes:
        assert number(shape.effective_rank) in text
    for part in found.slices:
        assert part.name in text
    assert found.slices_left_out
    assert all(f"{name}, {why}" in text for name, why in found.slices_left_out.items())
    for finding in found.data.findings:
        assert finding.finding[:30] in text
    assert all(sentence in text for sentence in (*found.limitations, *found.shifts))


def test_the_shift_of_physionet_is_told_from_its_own_row(found: TeacherEvaluation) -> None:
    shifted = {task.task for task in found.opera_probe.cohorts if task.dataset == "physionet2016"}
    assert len(found.shifts) == len(shifted)
    gain = found.opera_probe.difference("aligned", "base")
    assert gain is not None
    for task, sentence in zip(sorted(shifted), found.shifts, strict=True):
        assert sentence.startswith(task)
        assert difference(gain.tasks[task]) in sentence


def test_what_was_not_found_has_no_section(found: TeacherEvaluation) -> None:
    titles = [section.title for section in page_of(found).sections]
    bare = found.model_copy(
        update={"retrieval": (), "ages": (), "slices": (), "slices_left_out": {}, "zero_shot": None}
    )
    left = [section.title for section in page_of(bare).sections]
    assert set(left) < set(titles)
    assert left == [title for title in titles if title in left]
    assert not {"Retrieval", "Age", "Whom it serves"} & set(left)
