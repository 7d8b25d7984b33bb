"""The rewriter: what fails falls back and is counted, and each report is written once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from acula_edge.data.reports import clinical_facts, clinical_report
from acula_edge.data.reports.facts import Facts
from acula_edge.errors import UsageError
from acula_edge.language.rewriter import (
    PROMPT,
    CausalWriter,
    RewriteResult,
    reasons,
    rewrite_reports,
    rewrite_with,
)
from tests.language.models import WORDS, llama, save

PATIENT = {"label": "DAS", "sex": "M", "body_site": "left lateral", "spr_disease": "Asthma"}


def told(age: int) -> tuple[str, Facts]:
    values = {**PATIENT, "age": str(age)}
    return clinical_report("sprsound", values), clinical_facts("sprsound", values)


class Stub:
    """Writes what it is told to, and counts its calls; dies at one of them."""

    name = "stub"

    def __init__(self, text: str, dies_at: int | None = None, fingerprint: str = "a" * 64) -> None:
        self.text = text
        self.fingerprint = fingerprint
        self.batches: list[tuple[str, ...]] = []
        self._dies_at = dies_at

    def write(self, reports: Sequence[str]) -> list[str]:
        if len(self.batches) == self._dies_at:
            raise KeyboardInterrupt
        self.batches.append(tuple(reports))
        return [self.text.format(age=report.split("-year")[0].split()[-1]) for report in reports]


GOOD = "A {age}-year-old male with asthma; crepitations over the left lateral chest."


def test_a_right_text_is_taken(tmp_path: Path) -> None:
    assert rewrite_with(Stub(GOOD), [told(40)], tmp_path) == [
        RewriteResult(GOOD.format(age=40), accepted=True)
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace(" with asthma", ""), "dropped"),
        (GOOD.replace("asthma", "asthma and COPD"), "invented"),
        (GOOD.replace("left", "right"), "invented"),
        (GOOD.replace("{age}", "1{age}"), "number"),
        (GOOD.replace("with", "without"), "negation"),
        (f"As an AI language model, I cannot do that. {GOOD}", "error_text"),
        (f"{PROMPT} {GOOD}", "prompt_echo"),
        (GOOD.rstrip("."), "truncated"),
        (f"{GOOD} {GOOD}", "repeated"),
        ("", "length"),
    ],
)
def test_a_faulty_text_falls_back_and_is_counted(tmp_path: Path, text: str, reason: str) -> None:
    plain, facts = told(40)
    (result,) = results = rewrite_with(Stub(text), [(plain, facts)], tmp_path)
    assert result == RewriteResult(plain, accepted=False, reason=reason)
    assert reasons(results) == {reason: 1}


def test_counts_add_up_over_many(tmp_path: Path) -> None:
    results = rewrite_with(Stub(GOOD), [told(age) for age in (40, 41, 40, 42)], tmp_path)
    results += rewrite_with(Stub("Sorry.", fingerprint="b" * 64), [told(40)], tmp_path)
    assert reasons(results) == {"accepted": 4, "error_text": 1}


def test_a_killed_run_resumes_and_each_report_is_written_once(tmp_path: Path) -> None:
    reports = [told(age) for age in range(20, 50)] * 2
    undisturbed = rewrite_with(Stub(GOOD), reports, tmp_path / "undisturbed")
    killed, resumed = Stub(GOOD, dies_at=2), Stub(GOOD)
    with pytest.raises(KeyboardInterrupt):
        rewrite_with(killed, reports, tmp_path / "killed")
    assert rewrite_with(resumed, reports, tmp_path / "killed") == undisturbed
    assert not set(killed.batches) & set(resumed.batches)
    assert sum(map(len, killed.batches + resumed.batches)) == 30
    assert not list(tmp_path.rglob("*.writing"))


@pytest.mark.parametrize("content", ["", "[1]", "{}", '["one too', "[]"])
def test_a_damaged_file_is_written_again(tmp_path: Path, content: str) -> None:
    first = rewrite_with(Stub(GOOD), [told(40)], tmp_path)
    next(tmp_path.rglob("*.json")).write_text(content, encoding="utf-8")
    again = Stub(GOOD)
    assert rewrite_with(again, [told(40)], tmp_path) == first
    assert len(again.batches) == 1


def test_a_model_of_random_weights_is_refused_throughout(tmp_path: Path) -> None:
    folder = save(tmp_path / "llama", llama)
    reports = [told(age) for age in (30, 40, 50)]
    results = rewrite_reports(reports, str(folder), tmp_path / "cache")
    assert [result.text for result in results] == [plain for plain, _ in reports]
    assert not any(result.accepted for result in results)


def test_a_text_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    writer = CausalWriter(str(save(tmp_path / "llama", llama)))
    reports = [" ".join(WORDS[2:length]) for length in (4, 9, 14)]
    assert writer.write(reports) == [writer.write([report])[0] for report in reports]
    assert writer.write([]) == []


def test_only_a_model_that_generates_can_write(weights_home: Path) -> None:
    assert (weights_home / "minilm").is_dir()
    with pytest.raises(UsageError, match="minilm does not generate text"):
        CausalWriter("minilm")
