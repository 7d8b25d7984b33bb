"""Gates: what was asked of the INT8 files and what they gave, as the typed values of gates.json."""

from __future__ import annotations

from acula_edge.evidence.results import Frozen
from acula_edge.evidence.tables import Table, cells
from acula_edge.evidence.text import ABSENT


class Gate(Frozen):
    """One question to one file: `scope` is a task, or "mean", or "file".

    A gate without a value could not be asked, and passes.
    """

    gate: str
    file: str
    scope: str
    value: float | None
    bound: float
    passed: bool


class Gates(Frozen):
    """gates.json. `leave_float` is the layer that gives back most if it alone stays float, if one does."""

    gates: tuple[Gate, ...]
    leave_float: str | None

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that were missed."""
        return tuple(gate for gate in self.gates if not gate.passed)


def gate_table(found: Gates) -> Table:
    """Every gate, its value and its bound."""
    rows = [
        cells(
            gate.gate,
            gate.file,
            gate.scope,
            ABSENT if gate.value is None else f"{gate.value:.4g}",
            f"{gate.bound:g}",
            "passed" if gate.passed else "FAILED",
        )
        for gate in found.gates
    ]
    return Table("Gates", ("gate", "file", "of", "value", "bound", "result"), tuple(rows), labels=3)
