"""Sections: what a bench report shows."""

from __future__ import annotations

from acula_edge.bench.advice import advice
from acula_edge.bench.charts import latency_chart
from acula_edge.bench.report import Hop, Ops, Report
from acula_edge.bench.results import Timing
from acula_edge.evidence.charts import accuracy_chart
from acula_edge.evidence.fidelity import Fidelity
from acula_edge.evidence.fidelity_tables import fidelity_tables
from acula_edge.evidence.gates import Gates, gate_table
from acula_edge.evidence.operating import operating_table
from acula_edge.evidence.page import Page, Section
from acula_edge.evidence.results import Accuracy
from acula_edge.evidence.sections import accuracy_table, data_section, difference_table, provenance_table
from acula_edge.evidence.tables import Cell, Table, cells
from acula_edge.evidence.text import kibibytes, mebibytes


def page_of(report: Report) -> Page:
    """The whole report, for people."""
    sections = (
        _accuracy(report.accuracy),
        *([_decisions(report)] if report.operating else []),
        _speed(report),
        _graphs(report),
        *([fidelity_section(report.fidelity)] if report.fidelity else []),
        *([_gates(report.gates)] if report.gates else []),
        data_section(report.data),
        _limits(report),
    )
    return Page("acula-edge report", report.verdict, report.notice, report.simulated, sections)


def _accuracy(accuracy: Accuracy) -> Section:
    paragraphs = (
        "AUROC on the test split, each system run through its actual runtime; macro AUROC (one class "
        f"against the rest) where a task has more than two classes. 95 % intervals from {accuracy.resamples} "
        "resamples of the patients, the same for all systems, so that differences are paired.",
    )
    tables = (accuracy_table(accuracy), difference_table(accuracy))
    return Section("Accuracy", paragraphs, chart=accuracy_chart(accuracy), tables=tables)


def _decisions(report: Report) -> Section:
    paragraphs = (
        "Threshold, temperature and abstention band of each binary task were frozen on validation recordings "
        "of the float student (thresholds.json); here they meet test patients, before and after INT8. ECE "
        "and Brier score are of the calibrated probabilities. `decided` is the share of recordings on which "
        "the model does not abstain.",
        "The band states its coverage for each class and for exchangeable recordings; several recordings of "
        "one patient, or another hospital, are not exchangeable.",
    )
    return Section("Decisions", paragraphs, tables=(operating_table(report.operating),))


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
        points=(*advice(found), *(f"Not measured: {sentence}." for sentence in found.not_measured)),
        chart=latency_chart(found),
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


def fidelity_section(found: Fidelity) -> Section:
    """What INT8 did to scores, embedding and layers."""
    paragraphs = (
        "An INT8 model can keep its scores and lose the geometry of its embedding. CKA (linear) and the "
        "neighbours by cosine compare embeddings. Differences "
        "are paired over patients, with 95 % intervals.",
        "Layers: signal to quantisation noise in decibels, of a layer alone (float inputs) and with all "
        "layers before it in INT8; the share of float values outside the grid; how many output channels have "
        "a weight scale within one octave of the largest, within the next, and so on; and what the graph "
        "gains if this layer alone stays float: mean AUROC, and the share of the embedding's squared error.",
    )
    return Section("INT8 fidelity", paragraphs, tables=fidelity_tables(found))


def _gates(found: Gates) -> Section:
    paragraph = "What the INT8 files had to keep on validation recordings; a build that misses a gate ends."
    return Section("INT8 gates", (paragraph,), tables=(gate_table(found),))


def _limits(report: Report) -> Section:
    tables = (provenance_table(report.parents, report.data),)
    return Section("Limitations and provenance", points=report.limitations, tables=tables)
