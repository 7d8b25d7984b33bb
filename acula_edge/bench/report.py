"""Report: report.json, all that the Markdown and HTML reports show."""

from __future__ import annotations

from acula_edge.artifact import Parent
from acula_edge.bench.results import Performance
from acula_edge.evidence import limits
from acula_edge.evidence.facts import DataFacts
from acula_edge.evidence.fidelity import Fidelity
from acula_edge.evidence.gates import Gates
from acula_edge.evidence.operating import OperatingPoint
from acula_edge.evidence.results import Accuracy, Frozen


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
    """Everything that is known about one build; old reports end with the parity."""

    verdict: str
    notice: str
    simulated: bool
    data: DataFacts
    accuracy: Accuracy
    performance: Performance
    ops: dict[str, Ops]
    parity: tuple[Hop, ...]
    fidelity: Fidelity | None = None
    gates: Gates | None = None
    operating: tuple[OperatingPoint, ...] = ()
    limitations: tuple[str, ...]
    parents: tuple[Parent, ...]


def limitations(accuracy: Accuracy, performance: Performance, simulated: bool) -> tuple[str, ...]:
    """What the numbers do not say, and what was not run."""
    device = (
        f"No phone and no stethoscope was used: latency and memory are those of this host "
        f"({performance.device}), called from Python, with whatever else it was doing."
    )
    not_measured = tuple(f"Not measured: {sentence}." for sentence in performance.not_measured)
    return (*limits.limitations(accuracy, simulated), device, *not_measured)
