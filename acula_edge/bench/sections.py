"""Sections: a report's content, written down once for Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from acula_edge.bench.report import Hop, Ops, Report
from acula_edge.bench.results import Accuracy, Estimate, Timing
from acula_edge.bench.tables import Cell, Table, cells
from acula_edge.bench.text import interval, kibibytes, mebibytes, number, signed
from acula_edge.data.findings import Severity
from acula_edge.data.recording import Split


class Chart(StrEnum):
    """Drawings that HTML adds to a section."""

    ACCURACY = "accuracy"
    LATENCY = "latency"


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order."""

    title: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    chart: Chart | None = None
    tables: tuple[Table, ...] = ()


def sections(report: Report) -> tuple[Section, ...]:
    """All sections of a report, in order."""
    return (_accuracy(report.accuracy), _speed(report), _graphs(report), _data(report), _limits(report))


def accuracy_table(accuracy: Accuracy) -> Table:
    """AUROC of every system on every task, with intervals, and who it was measured on."""
    rows = []
    for cohort in accuracy.cohorts:
        positive = f", {cohort.counts[1]} positive" if len(cohort.counts) == 2 else ""
        who = "patients" if cohort.patients_named else "drawn"
        size = f"{cohort.recordings} recordings, {cohort.patients} {who}{positive}"
        scores = (_scored(system.tasks[cohort.task]) for system in accuracy.systems)
        rows.append((Cell(cohort.task, size), *scores))
    mean = (Cell("mean", f"{len(rows)} tasks"), *(_scored(system.mean) for system in accuracy.systems))
    header = ("task", *(f"{system.title} ({system.ran_in})" for system in accuracy.systems))
    return Table("AUROC (95 % interval)", header, (*rows, mean))


def _accuracy(accuracy: Accuracy) -> Section:
    paragraphs = (
        "AUROC on the test split, each system run through its actual runtime; macro AUROC (one class "
        f"against the rest) where a task has more than two classes. 95 % intervals from {accuracy.resamples} "
        "resamples of the patients, the same for all systems, so that differences are paired.",
    )
    tables = (accuracy_table(accuracy), _difference_table(accuracy))
    return Section("Accuracy", paragraphs, chart=Chart.ACCURACY, tables=tables)


def _difference_table(accuracy: Accuracy) -> Table:
    names = [f"{found.title}: {found.system} minus {found.against}" for found in accuracy.differences]
    rows = [
        (Cell(cohort.task), *(_gained(found.tasks[cohort.task]) for found in accuracy.differences))
        for cohort in accuracy.cohorts
    ]
    mean = (Cell("mean"), *(_gained(found.mean) for found in accuracy.differences))
    return Table("Paired differences of AUROC (95 % interval)", ("task", *names), (*rows, mean))


def _scored(estimate: Estimate) -> Cell:
    return Cell(number(estimate), interval(estimate))


def _gained(estimate: Estimate) -> Cell:
    return Cell(signed(estimate), interval(estimate, "+"))


def timing_table(timings: tuple[Timing, ...]) -> Table:
    """Latency, size and memory of every part."""
    rows = [
        cells(
            timing.part,
            timing.precision,
            timing.runtime,
            timing.file or "log_mel",
            str(timing.threads),
            f"{timing.median_ms:.3f}",
            f"{timing.p90_ms:.3f}",
            kibibytes(timing.size_bytes) if timing.size_bytes else "",
            mebibytes(timing.model_bytes),
            mebibytes(timing.peak_bytes),
        )
        for timing in timings
    ]
    header = (
        *("part", "precision", "runtime", "file", "threads", "median ms", "p90 ms"),
        *("size KiB", "memory added MiB", "process peak MiB"),
    )
    return Table("Latency, size and memory of one clip", header, tuple(rows), labels=4)


def _speed(report: Report) -> Section:
    found = report.performance
    paragraphs = (
        f"On this host: {found.device}. One clip of {found.clip_seconds:g} s, {found.runs} timed runs after "
        f"{found.warmup} untimed ones, each model in a fresh process. Memory added is the peak of the "
        "process after one inference less its peak before the model was loaded. report.json keeps every "
        "sample.",
    )
    versions = Table(
        "Versions",
        ("package", "version"),
        tuple(cells(*item) for item in found.environment.items()),
        labels=2,
    )
    return Section(
        "Speed and memory",
        paragraphs,
        points=tuple(f"Not measured: {sentence}." for sentence in found.not_measured),
        chart=Chart.LATENCY,
        tables=(timing_table(found.timings), versions),
    )


def _graphs(report: Report) -> Section:
    parity = [
        cells(hop.name, hop.measure, hop.recording, f"{hop.worst:.6g}", f"{hop.median:.6g}", _bound(hop))
        for hop in report.parity
    ]
    ops = [
        (Cell(name), Cell(str(found.delegates)), *map(_counted, _kinds(found)))
        for name, found in report.ops.items()
    ]
    return Section(
        "Graphs",
        (
            "Parity of each hop on validation clips, every file in its own runtime; and the operators of "
            "each file: a delegate runs what it takes, the rest falls back to the runtime's own kernels.",
        ),
        tables=(
            Table(
                "Parity",
                ("hop", "measure", "worst clip", "worst", "median", "bound"),
                tuple(parity),
                labels=3,
            ),
            Table(
                "Delegated operators",
                ("file", "delegates", "delegated", "not delegated", "INT8", "float"),
                tuple(ops),
                labels=6,
            ),
        ),
    )


def _bound(hop: Hop) -> str:
    return "reported only" if hop.bound is None else f"{hop.bound:g} ({'met' if hop.passed else 'MISSED'})"


def _kinds(found: Ops) -> tuple[dict[str, int], ...]:
    return (found.delegated, found.undelegated, found.int8, found.floating)


def _counted(counts: dict[str, int]) -> Cell:
    return Cell(
        str(sum(counts.values())), ", ".join(f"{count}\u00a0{name}" for name, count in counts.items())
    )


def _data(report: Report) -> Section:
    data = report.data
    rows = [
        (
            Cell(facts.dataset, "" if facts.patients_named else "patients not named"),
            *(_size(facts.splits[split].recordings, facts.splits[split].patients) for split in Split),
        )
        for facts in data.datasets
    ]
    worst_first = sorted(data.findings, key=lambda found: -list(Severity).index(found.severity))
    findings = tuple(cells(f.severity, f.dataset, f.check, f.finding) for f in worst_first)
    broken = tuple(cells(str(row.line), row.path, row.reason) for row in data.broken)
    tables = (
        Table("Recordings in each split (patients or sources)", ("data set", *Split), tuple(rows)),
        Table("Leak audit", ("severity", "data set", "check", "finding"), findings, labels=4),
        Table("Broken files, left out", ("line", "file", "reason"), broken, labels=3),
    )
    paragraphs = (
        "No patient or source stands in two splits; training, calibration and tuning never opened the test "
        "split.",
        "Broken files: none." if not broken else f"Broken files: {len(broken)}.",
    )
    return Section("Data", paragraphs, tables=tuple(table for table in tables if table.rows))


def _size(recordings: int, patients: int) -> Cell:
    return Cell(str(recordings), str(patients))


def _limits(report: Report) -> Section:
    rows = [cells(parent.kind, parent.digest) for parent in report.parents]
    rows.append(cells("recordings", report.data.digest))
    provenance = Table("Made from (SHA-256 of each manifest)", ("artifact", "digest"), tuple(rows), labels=2)
    return Section("Limitations and provenance", points=report.limitations, tables=(provenance,))
