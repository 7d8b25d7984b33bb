"""The bench stage: the evidence for one bundle, gathered on the test split, which nobody else opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, write_json
from acula_edge.bench.config import BenchConfig
from acula_edge.bench.latency import measure
from acula_edge.bench.report import Hop, Ops, Report, limitations
from acula_edge.bench.results import Performance
from acula_edge.bench.scoring import (
    GraphScorer,
    LibraryOpener,
    Scorer,
    library_scorer,
    score_all,
    teacher_scorers,
)
from acula_edge.bench.sections import page_of
from acula_edge.bench.systems import DECIDING, PANEL, graphs_in
from acula_edge.bench.verdict import verdict
from acula_edge.contract import AudioContract
from acula_edge.data.audio import to_float32
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.environment import environment, key_of
from acula_edge.evidence.accuracy import Logits, evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.decisions import Decisions
from acula_edge.evidence.facts import data_facts
from acula_edge.evidence.fidelity import Fidelity
from acula_edge.evidence.gates import Gates
from acula_edge.evidence.html import to_html
from acula_edge.evidence.markdown import to_markdown
from acula_edge.evidence.operating import operating_points
from acula_edge.evidence.results import Accuracy
from acula_edge.progress import say

MEASURED = ("report.json", "report.md", "report.html", "latency.json")


@dataclass(frozen=True)
class BenchInputs:
    """`quantized`, where given, adds its float graphs to what is timed; `library` opens a C library."""

    bundle: Artifact
    dataset: Artifact
    teacher: Artifact
    quantized: Artifact | None = None
    library: LibraryOpener | None = None

    @property
    def all(self) -> tuple[Artifact, ...]:
        """The artifacts that are given."""
        given = (self.bundle, self.dataset, self.teacher, self.quantized)
        return tuple(artifact for artifact in given if artifact is not None)


def run(config: BenchConfig, inputs: BenchInputs, out: Path) -> Artifact:
    """Score every system on the test split, time every model, and write the report.

    Raises ContractError if bundle and dataset have different front ends, ToolError if a runtime or an
    extra is missing, ExistsError if `out` exists.
    """
    dataset = Dataset.open(inputs.dataset)
    dataset.contract.require_equal(AudioContract.of(inputs.bundle.manifest.contract), str(inputs.bundle.path))
    with ArtifactWriter(out) as writer:
        recordings = [recording for recording in dataset.of(Split.TEST) if recording.labels]
        cohort = Cohort(tuple(map(Member.of_recording, recordings)))
        logits = _score(dataset, recordings, inputs)
        accuracy = evaluate(dataset.tasks, cohort, logits, PANEL, config.bootstrap_resamples, config.seed)
        decisions = Decisions.model_validate(inputs.bundle.read_json("thresholds.json"))
        operating = operating_points(
            dataset.tasks, cohort, logits, decisions, DECIDING, config.bootstrap_resamples, config.seed
        )
        performance = measure(inputs.bundle, inputs.quantized, config)
        writer.write_json("scores.json", _scores(dataset, recordings, logits))
        writer.write_json("accuracy.json", accuracy.model_dump(mode="json"))
        writer.write_json("latency.json", performance.model_dump(mode="json"))
        report = _report(inputs, dataset.simulated, accuracy, performance)
        _write_report(writer.path, report.model_copy(update={"operating": operating}))
        return writer.commit(_description(config, inputs), measured=MEASURED)


def _score(dataset: Dataset, recordings: Sequence[Recording], inputs: BenchInputs) -> Logits:
    scorers: dict[str, Scorer] = teacher_scorers(inputs.teacher)
    scorers |= {
        graph.system.name: GraphScorer.open(inputs.bundle, graph) for graph in graphs_in(inputs.bundle)
    }
    compiled, no_compiler = library_scorer(inputs.bundle, inputs.library)
    for warning in no_compiler:
        say(f"warning: {warning}")
    scorers |= compiled
    sounds = ((to_float32(dataset.pcm(recording)), recording.sample_rate_hz) for recording in recordings)
    return score_all(sounds, len(recordings), scorers, "Scoring the test split")


def _scores(dataset: Dataset, recordings: Sequence[Recording], logits: Logits) -> dict[str, Any]:
    rows = {
        recording.id: {
            "labels": recording.labels,
            "logits": {name: found[i].tolist() for name, found in logits.items()},
        }
        for i, recording in enumerate(recordings)
    }
    return {"tasks": [task.name for task in dataset.tasks], "recordings": rows}


def _report(inputs: BenchInputs, simulated: bool, accuracy: Accuracy, performance: Performance) -> Report:
    return Report(
        verdict=verdict(accuracy, simulated),
        notice=inputs.bundle.read_json("labels.json")["notice"],
        simulated=simulated,
        data=data_facts(inputs.dataset),
        accuracy=accuracy,
        performance=performance,
        ops={name: Ops(**row) for name, row in inputs.bundle.read_json("ops.json").items()},
        parity=tuple(Hop(**row) for row in inputs.bundle.read_json("parity.json")["hops"]),
        fidelity=Fidelity.model_validate(inputs.bundle.read_json("fidelity.json")),
        gates=Gates.model_validate(inputs.bundle.read_json("gates.json")),
        limitations=limitations(accuracy, performance, simulated),
        parents=tuple(artifact.parent for artifact in inputs.all),
    )


def _write_report(folder: Path, report: Report) -> None:
    page = page_of(report)
    write_json(folder / "report.json", report.model_dump(mode="json"))
    (folder / "report.md").write_text(to_markdown(page), encoding="utf-8")
    (folder / "report.html").write_text(to_html(page), encoding="utf-8")


def _description(config: BenchConfig, inputs: BenchInputs) -> Description:
    return Description(
        kind=ArtifactKind.REPORT,
        key=key_of(ArtifactKind.REPORT, config, [artifact.digest for artifact in inputs.all]),
        parents=tuple(artifact.parent for artifact in inputs.all),
        contract=inputs.bundle.manifest.contract,
        config=config.model_dump(mode="json"),
        data=inputs.dataset.manifest.data,
        seed=config.seed,
        environment=environment(),
    )
