"""Report: report.json, all that the Markdown and HTML reports show."""

from __future__ import annotations

from acula_edge.artifact import Artifact, Parent
from acula_edge.bench.results import Accuracy, Frozen, Performance
from acula_edge.data.dataset import Dataset
from acula_edge.data.findings import Severity
from acula_edge.data.recording import Split


class SplitSize(Frozen):
    """Recordings and patients of one data set in one split."""

    recordings: int
    patients: int


class DatasetFacts(Frozen):
    """One data set; where `patients_named` is false, its patients are sources or recordings."""

    dataset: str
    patients_named: bool
    splits: dict[Split, SplitSize]


class BrokenFile(Frozen):
    """A recording that could not be used."""

    line: int
    path: str
    reason: str


class AuditFinding(Frozen):
    """What the leak audit found in one data set."""

    severity: Severity
    dataset: str
    check: str
    finding: str


class DataFacts(Frozen):
    """The recordings behind the report."""

    digest: str
    datasets: tuple[DatasetFacts, ...]
    broken: tuple[BrokenFile, ...]
    findings: tuple[AuditFinding, ...]


class Ops(Frozen):
    """Operators of one model file, as ops.json holds them: what its delegate took, and what it left."""

    before: dict[str, int]
    delegates: int
    delegated: dict[str, int]
    undelegated: dict[str, int]
    int8: dict[str, int]
    floating: dict[str, int]


class Hop(Frozen):
    """One comparison of two graphs, as parity.json holds it: the worst and the median clip."""

    name: str
    measure: str
    worst: float
    median: float
    bound: float | None
    recording: str
    clips: int
    passed: bool


class Report(Frozen):
    """Everything that is known about one build."""

    verdict: str
    notice: str
    simulated: bool
    data: DataFacts
    accuracy: Accuracy
    performance: Performance
    ops: dict[str, Ops]
    parity: tuple[Hop, ...]
    limitations: tuple[str, ...]
    parents: tuple[Parent, ...]


def data_facts(artifact: Artifact) -> DataFacts:
    """Counts, broken files and audit findings of a Dataset artifact."""
    recordings = Dataset.open(artifact).recordings
    datasets = []
    for name in dict.fromkeys(recording.dataset for recording in recordings):
        mine = [recording for recording in recordings if recording.dataset == name]
        splits = {}
        for split in Split:
            part = [recording for recording in mine if recording.split is split]
            patients = {recording.group for recording in part}
            splits[split] = SplitSize(recordings=len(part), patients=len(patients))
        named = all(recording.patient for recording in mine)
        datasets.append(DatasetFacts(dataset=name, patients_named=named, splits=splits))
    return DataFacts(
        digest=artifact.manifest.data.digest if artifact.manifest.data else "",
        datasets=tuple(datasets),
        broken=tuple(BrokenFile(**row) for row in artifact.read_json("broken.json")),
        findings=tuple(
            AuditFinding(**{name: row[name] for name in AuditFinding.model_fields})
            for row in artifact.read_json("audit.json")
        ),
    )


def limitations(accuracy: Accuracy, performance: Performance, simulated: bool) -> tuple[str, ...]:
    """What the numbers do not say, and what was not run."""
    unnamed = [cohort.task for cohort in accuracy.cohorts if not cohort.patients_named]
    degenerate = _degenerate(accuracy)
    sentences = {
        "The recordings are simulated: the scores show that the line works, and say nothing about "
        "patients.": simulated,
        f"No phone and no stethoscope was used: latency and memory are those of this host "
        f"({performance.device}), called from Python, with whatever else it was doing.": True,
        "The test patients come from the same collections as the training patients: results elsewhere "
        "can be worse.": True,
        "Intervals cover the choice of test patients; each model was trained once, so that chance in "
        "training is not in them.": True,
        f"The sources of {', '.join(unnamed)} do not name all patients: recordings were drawn instead, and "
        "those intervals may be too narrow.": bool(unnamed),
        f"Resamples without one of the classes were left out: {', '.join(degenerate)} of "
        f"{accuracy.resamples}.": bool(degenerate),
    }
    not_measured = tuple(f"Not measured: {sentence}." for sentence in performance.not_measured)
    return (*(sentence for sentence, applies in sentences.items() if applies), *not_measured)


def _degenerate(accuracy: Accuracy) -> list[str]:
    # The same resamples are used for every system: the first one tells.
    first = accuracy.systems[0]
    return [f"{name} {found.degenerate}" for name, found in first.tasks.items() if found.degenerate]
