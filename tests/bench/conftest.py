"""A whole report on real recordings, with drawn logits where a model would have given them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, Parent
from acula_edge.bench.config import BenchConfig
from acula_edge.bench.report import Hop, Ops, Report, limitations
from acula_edge.bench.results import Performance, Timing
from acula_edge.bench.systems import DECIDING, PANEL, SYSTEMS
from acula_edge.bench.verdict import verdict
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.evidence.accuracy import evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.decisions import Decisions
from acula_edge.evidence.facts import data_facts
from acula_edge.evidence.fidelity import Fidelity
from acula_edge.evidence.gates import Gate, Gates
from acula_edge.evidence.operating import operating_points

CONFIG = BenchConfig(bootstrap_resamples=200, latency_runs=5, warmup=1, threads=(1,))

GATE = Gate(gate="max_size_bytes", file="model.pte", scope="file", value=2.0, bound=1.0, passed=False)


@pytest.fixture(scope="session")
def cohort(mini_dataset: Artifact) -> Cohort:
    """The test recordings of the small Dataset."""
    recordings = Dataset.open(mini_dataset).of(Split.TEST)
    return Cohort(tuple(Member.of_recording(recording) for recording in recordings if recording.labels))


@pytest.fixture(scope="session")
def logits(mini_dataset: Artifact, cohort: Cohort) -> dict[str, NDArray[np.float64]]:
    """Logits of every system: the label and noise, less noise for the later systems."""
    tasks = Dataset.open(mini_dataset).tasks
    rng = np.random.default_rng(0)
    truth = np.zeros((len(cohort.members), sum(task.n_logits for task in tasks)))
    for task in tasks:
        columns = logit_slices(tasks)[task.name]
        for row, label in zip(cohort.rows(task.name), cohort.labels(task.name), strict=True):
            truth[row, columns] = label if task.n_logits == 1 else np.arange(task.n_logits) == label
    noise = rng.normal(size=truth.shape)
    return {system.name: truth + noise / (1 + i) for i, system in enumerate(SYSTEMS)}


@pytest.fixture(scope="session")
def report(
    mini_dataset: Artifact, mini_quantized: Artifact, cohort: Cohort, logits: dict[str, NDArray[np.float64]]
) -> Report:
    """A report with every section filled."""
    decisions = Decisions.model_validate(mini_quantized.read_json("thresholds.json"))
    dataset = Dataset.open(mini_dataset)
    accuracy = evaluate(dataset.tasks, cohort, logits, PANEL, CONFIG.bootstrap_resamples, CONFIG.seed)
    performance = Performance(
        device="a processor, 2 cores, x86_64",
        environment={"python": "3.11"},
        clip_seconds=8.0,
        runs=3,
        warmup=1,
        timings=(
            _timing("front end", "float64", "NumPy", "", 1),
            _timing("network", "INT8", "ExecuTorch", "model.pte", 2),
        ),
        not_measured=("model.onnx: ONNX Runtime is not installed",),
    )
    ops = Ops(
        before={"conv2d": 3}, delegates=1, delegated={"conv2d": 3}, undelegated={}, int8={}, floating={}
    )
    hop = Hop(
        name="eager float = float.pte",
        measure="max abs error",
        worst=1e-6,
        median=1e-7,
        bound=1e-4,
        recording="sprsound/1",
        clips=16,
        passed=True,
    )
    return Report(
        verdict=verdict(accuracy, dataset.simulated),
        notice="Research software, not a medical device.",
        simulated=dataset.simulated,
        data=data_facts(mini_dataset),
        accuracy=accuracy,
        performance=performance,
        ops={"model.pte": ops},
        parity=(hop,),
        fidelity=Fidelity.model_validate(mini_quantized.read_json("fidelity.json")),
        gates=Gates(gates=(GATE,), leave_float="trunk.0"),
        operating=operating_points(
            dataset.tasks, cohort, logits, decisions, DECIDING, CONFIG.bootstrap_resamples, CONFIG.seed
        ),
        limitations=limitations(accuracy, performance, dataset.simulated),
        parents=(Parent(kind=ArtifactKind.DATASET, digest=mini_dataset.digest),),
    )


def _timing(part: str, precision: str, runtime: str, file: str, threads: int) -> Timing:
    samples_ms = (1.0, 2.0, 4.0)
    return Timing(
        part=part,
        precision=precision,
        runtime=runtime,
        file=file,
        threads=threads,
        size_bytes=2048,
        idle_bytes=10 << 20,
        peak_bytes=13 << 20,
        median_ms=2.0,
        p90_ms=3.6,
        samples_ms=samples_ms,
    )
