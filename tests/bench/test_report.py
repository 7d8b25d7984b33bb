"""The report: what it must say, in Markdown and in HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from acula_edge.artifact import Artifact
from acula_edge.bench.report import Report, limitations
from acula_edge.bench.sections import page_of
from acula_edge.bench.verdict import verdict
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.evidence import html, markdown
from acula_edge.evidence.facts import BrokenFile
from acula_edge.evidence.results import Accuracy, Difference, Estimate, SystemAccuracy


def to_markdown(report: Report) -> str:
    return markdown.to_markdown(page_of(report))


def to_html(report: Report) -> str:
    return html.to_html(page_of(report))


VOID = {"meta", "link", "br", "img", "hr", "input", "path"}


class Page(HTMLParser):
    """Checks that tags close in order, and collects text and attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open):
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(to_html(report))


def test_html_closes_every_tag(page: Page) -> None:
    assert page.open == []


def test_html_needs_nothing_outside_itself(report: Report, page: Page) -> None:
    source = to_html(report)
    assert not {name for _, name, _ in page.attributes} & {"src", "href", "srcset", "data", "action"}
    assert not re.search(r"https?://|url\(|@import|<script|<link|<iframe", source)


def test_html_says_all_that_markdown_says(report: Report, page: Page) -> None:
    marks = re.compile(r"[*|#()]|---:?|^- ", re.MULTILINE)
    said = set(marks.sub(" ", to_markdown(report)).split())
    missing = said - set(marks.sub(" ", page.text).split())
    assert not missing


def test_html_tables_name_their_rows_and_columns(page: Page) -> None:
    tables = sum(name == "tabindex" for _, name, _ in page.attributes)
    assert tables >= 6
    assert {value for tag, name, value in page.attributes if tag == "th" and name == "scope"} == {
        "col",
        "row",
    }
    labelled = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(labelled) == 2
    assert all(labelled)


def test_html_shows_metadata_as_text_not_as_markup(report: Report) -> None:
    evil = "<script>alert(1)</script>"
    broken = (BrokenFile(line=2, path=evil, reason="the file is empty"),)
    source = to_html(report.model_copy(update={"data": report.data.model_copy(update={"broken": broken})}))
    assert evil not in source
    assert "&lt;script&gt;" in source


def test_charts_hold_a_marker_for_each_score(report: Report, page: Page) -> None:
    scores = [
        estimate for system in report.accuracy.systems for estimate in (*system.tasks.values(), system.mean)
    ]
    shown = sum(value.startswith("marker") for tag, name, value in page.attributes if name == "class")
    assert shown == len(report.accuracy.systems) + sum(estimate.value is not None for estimate in scores)


@pytest.mark.parametrize(
    "render", [to_markdown, lambda report: Page(to_html(report)).text], ids=["md", "html"]
)
def test_reports_hold_every_task_system_and_finding(report: Report, render: object) -> None:
    text = re.sub(r"\s+", " ", render(report))  # type: ignore[operator]
    for cohort in report.accuracy.cohorts:
        assert cohort.task in text
        assert f"{cohort.recordings} recordings, {cohort.patients}" in text
    for system in report.accuracy.systems:
        assert system.title in text
    for finding in report.data.findings:
        assert finding.finding.split()[0] in text
    for sentence in (report.notice, report.data.digest, *report.limitations, "No phone"):
        assert sentence in text
    for timing in report.performance.timings:
        assert f"{timing.median_ms:.3f}" in text


@pytest.mark.parametrize(
    "render", [to_markdown, lambda report: Page(to_html(report)).text], ids=["md", "html"]
)
def test_reports_hold_decisions_layers_and_gates(report: Report, render: object) -> None:
    text = re.sub(r"\s+", " ", render(report))  # type: ignore[operator]
    assert report.operating
    assert report.fidelity
    for point in report.operating:
        assert point.task in text
        assert f"{point.threshold:.3f}" in text
    for layer in report.fidelity.layers["model.pte"]:
        assert layer.layer in text
    assert "max_size_bytes" in text
    assert "FAILED" in text


def test_a_report_from_before_has_no_such_sections(report: Report) -> None:
    rows = report.model_dump(mode="json")
    for name in ("fidelity", "gates", "operating"):
        del rows[name]
    old = to_markdown(Report.model_validate(rows))
    assert "INT8 fidelity" in to_markdown(report)
    assert "Frozen decisions" in to_markdown(report)
    assert "INT8" not in old[old.index("## Graphs") : old.index("## Data")].replace("| INT8 |", "")
    assert "Frozen decisions" not in old


def test_first_line_is_the_verdict(report: Report) -> None:
    assert to_markdown(report).splitlines()[0] == report.verdict


def test_simulated_data_is_labelled_at_the_top(report: Report) -> None:
    found = report.model_copy(update={"simulated": True, "verdict": verdict(report.accuracy, True)})
    assert to_markdown(found).startswith("SIMULATED")
    assert Page(to_html(found)).text.startswith("SIMULATED")
    assert any("simulated" in sentence for sentence in limitations(found.accuracy, found.performance, True))
    real = report.model_copy(update={"simulated": False, "verdict": verdict(report.accuracy, False)})
    assert "SIMULATED" not in to_markdown(real)
    assert "SIMULATED" not in Page(to_html(real)).text


def test_data_facts_are_those_of_the_dataset(mini_dataset: Artifact, report: Report) -> None:
    dataset = Dataset.open(mini_dataset)
    for split in Split:
        counted = sum(facts.splits[split].recordings for facts in report.data.datasets)
        assert counted == len(dataset.of(split))
    assert len(report.data.findings) == len(mini_dataset.read_json("audit.json"))
    assert len(report.data.findings) > 0


def test_report_survives_its_json(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report


def _estimate(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, degenerate=0)


def _accuracy(gain: Estimate, control: Estimate, meaning: Estimate) -> Accuracy:
    systems = [
        SystemAccuracy(system=name, title=name, ran_in="", tasks={}, mean=_estimate(value, 0.01))
        for name, value in (("base", 0.7), ("shuffled", 0.71), ("aligned", 0.74))
    ]
    pairs = {("aligned", "base"): gain, ("shuffled", "base"): control, ("aligned", "shuffled"): meaning}
    differences = [
        Difference(system=a, against=b, title="", tasks={}, mean=mean) for (a, b), mean in pairs.items()
    ]
    return Accuracy(resamples=100, seed=0, cohorts=(), systems=tuple(systems), differences=tuple(differences))


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (_estimate(0.04, 0.02), "beats its base encoder"),
        (_estimate(0.04, 0.06), "does not clearly beat its base encoder"),
        (_estimate(-0.04, 0.02), "is worse than its base encoder"),
        (Estimate(value=0.04, low=None, high=None, degenerate=100), "does not clearly beat its base encoder"),
    ],
)
def test_verdict_follows_the_paired_interval(gain: Estimate, says: str) -> None:
    sentence = verdict(_accuracy(gain, _estimate(0.01, 0.02), _estimate(0.03, 0.01)), simulated=False)
    assert says in sentence
    assert "0.740 against 0.700" in sentence
    assert "shuffled reports: +0.010" in sentence


def test_verdict_credits_the_reports_only_if_the_control_is_beaten() -> None:
    gain, control = _estimate(0.04, 0.02), _estimate(0.04, 0.02)
    not_shown = verdict(_accuracy(gain, control, _estimate(0.0, 0.01)), simulated=False)
    assert "not shown that the reports' meaning helps" in not_shown
    shown = verdict(_accuracy(gain, control, _estimate(0.03, 0.01)), simulated=False)
    assert "so the reports' meaning helps" in shown


def test_verdict_without_a_teacher_says_so() -> None:
    empty = Accuracy(resamples=100, seed=0, cohorts=(), systems=(), differences=())
    assert verdict(empty, simulated=False) == "The aligned teacher was not compared with its base encoder."
