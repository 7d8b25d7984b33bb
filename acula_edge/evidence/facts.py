"""Facts: the recordings behind a report, as its Dataset artifact tells them."""

from __future__ import annotations

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.findings import Severity
from acula_edge.data.recording import Split
from acula_edge.evidence.results import Frozen


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
