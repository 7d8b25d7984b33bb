"""`acula-edge quantize inspect`: what INT8 did to the scores, the embedding and every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acula_edge.commands.options import Json, Model
from acula_edge.commands.output import NOTICE, print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.evidence.tables import Cell, Table


def inspect(
    model: Model,
    as_json: Json = False,
) -> None:
    """Show what INT8 did, as it was measured on validation recordings when the model was built.

    Scores, embedding geometry, gates, and for each layer its signal to noise ratio, saturation, scales,
    and what it gives back if it alone stays float.
    """
    from acula_edge.artifact import Artifact
    from acula_edge.evidence.fidelity import Fidelity
    from acula_edge.evidence.fidelity_tables import fidelity_tables
    from acula_edge.evidence.gates import Gates, gate_table

    artifact = Artifact.open(model)
    found = Fidelity.model_validate(artifact.read_json("fidelity.json"))
    gates = Gates.model_validate(artifact.read_json("gates.json"))
    if as_json:
        print_json({"fidelity": found.model_dump(mode="json"), "gates": gates.model_dump(mode="json")})
        return
    for table in (*fidelity_tables(found), gate_table(gates)):
        _print(table)
    print(NOTICE)


def _print(table: Table) -> None:
    print(table.caption)
    print_rows(table.header, [[_text(cell) for cell in row] for row in table.rows])
    print()


def _text(cell: Cell) -> str:
    return f"{cell.text} ({cell.detail})" if cell.detail else cell.text
