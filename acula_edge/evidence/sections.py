"""Sections: what every report shows of its scores and its recordings."""

from __future__ import annotations

from acula_edge.artifact import Parent
from acula_edge.data.findings import Severity
from acula_edge.data.recording import Split
from acula_edge.evidence.facts import DataFacts
from acula_edge.evidence.page import Section
from acula_edge.evidence.results import Accuracy, Estimate
from acula_edge.evidence.tables import Cell, Table, cells
from acula_edge.evidence.text import interval, number, signed


def accuracy_table(accuracy: Accuracy) -> Table:
    """AUROC of every system on every task, with intervals, and who it was measured on."""
    rows = []
    for cohort in accuracy.cohorts:
        positive = f", {cohort.counts[1]} positive" if len(cohort.counts) == 2 else ""
        who = "patients" if cohort.patients_named else "drawn"
        size = f"{cohort.recordings} recordings, {cohort.patients} {who}{positive}"
        scores = (_scored(system.tasks[cohort.task]) for system in accuracy.systems)
        rows.append((Cell(cohort.task, size), *scores))
    averaged = accuracy.systems[0].averaged if accuracy.systems else ()
    mean = (Cell("mean", f"{len(averaged)} tasks"), *(_scored(system.mean) for system in accuracy.systems))
    header = ("task", *(f"{system.title} ({system.ran_in})" for system in accuracy.systems))
    return Table("AUROC (95 % interval)", header, (*rows, mean))


def difference_table(accuracy: Accuracy) -> Table:
    """Every paired difference on every task."""
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


def data_section(data: DataFacts) -> Section:
    """Splits, broken files and the findings of the leak audit, the worst first."""
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


def provenance_table(parents: tuple[Parent, ...], data: DataFacts) -> Table:
    """What a report was made from."""
    rows = [cells(parent.kind, parent.digest) for parent in parents]
    rows.append(cells("recordings", data.digest))
    return Table("Made from (SHA-256 of each manifest)", ("artifact", "digest"), tuple(rows), labels=2)
