"""`acula-edge distill plan`: what students cost, before one is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acula_edge.commands.options import Json
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.students.families import Family
    from acula_edge.students.plan import Layer, Plan


def plan(
    name: Annotated[
        str | None, typer.Argument(metavar="[FAMILY]", help="One family; all without it.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file: the student of its section distill, and its front end.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="What the device has, as in ram=96KiB,flash=256KiB,mmac=15.")
    ] = None,
    mels: Annotated[int | None, typer.Option(help="Mel bands, if not those of the front end.", min=1)] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames of a clip, if not those of the front end.", min=1)
    ] = None,
    logits: Annotated[int, typer.Option(help="Outputs of all task heads.", min=1)] = 18,
    layers: Annotated[bool, typer.Option("--layers", help="Show the layers of one student.")] = False,
    as_json: Json = False,
) -> None:
    """Show what students cost on a device: parameters, work, memory and flash of the INT8 network.

    RAM is the peak of a clip's activations; of a streaming student it is one hop's, and the state. If
    FAMILY or --config names a student that breaks --budget or its family's bounds, the exit code is 3.
    """
    from acula_edge.errors import GateError, UsageError

    if name and config:
        raise UsageError("give a FAMILY or --config, not both")
    if layers and not (name or config):
        raise UsageError("--layers shows one student: name a FAMILY or give --config")
    rows = _rows(name, config, budget, (mels, frames, logits))
    if as_json:
        print_json([row.to_json(layers) for row in rows])
    elif layers:
        _print_layers(rows[0].plan)
    else:
        _print_table(rows)
    if (name or config) and rows[0].broken:
        raise GateError(f"{rows[0].name} does not fit: {'; '.join(rows[0].broken)}")


@dataclass(frozen=True)
class _Row:
    """A student, its plan, and a clause for each bound that it breaks."""

    name: str
    family: Family
    plan: Plan
    broken: tuple[str, ...]

    def to_json(self, layers: bool) -> dict[str, Any]:
        found = self.plan.to_json()
        if not layers:
            del found["layers"]
        return {
            "student": self.name,
            "device": self.family.device,
            **found,
            "fits": not self.broken,
            "broken": self.broken,
        }


def _rows(
    name: str | None, config: Path | None, budget: str | None, size: tuple[int | None, int | None, int]
) -> list[_Row]:
    """A row for each student that is asked for."""
    from acula_edge.build import BuildConfig
    from acula_edge.students.budget import Budget, parse_budget
    from acula_edge.students.families import FAMILIES, Family, family
    from acula_edge.students.plan import plan_of

    limits = parse_budget(budget) if budget else Budget()
    settings = BuildConfig.load(config, None, None)
    contract = settings.data.contract
    mels, frames, logits = size
    students = {name: family(name)} if name else FAMILIES
    if config:
        students = {str(config): Family(settings.distill.student, "its own")}
    rows = []
    for key, entry in students.items():
        found = plan_of(entry.config, mels or contract.n_mels, frames or contract.n_frames, logits)
        rows.append(_Row(key, entry, found, (*entry.exceeds(found), *found.exceeds(limits))))
    return rows


def _print_table(rows: Sequence[_Row]) -> None:
    header = ("student", "parameters", "MMAC", "peak KiB", "flash KiB", "state B", "RAM KiB", "for", "fits")
    print_rows(header, [_cells(row) for row in rows])


def _cells(row: _Row) -> tuple[str, ...]:
    found = row.plan
    return (
        row.name,
        str(found.parameters),
        f"{found.macs / 1e6:.2f}",
        f"{found.peak_activation_bytes / 1024:.1f}",
        f"{found.flash_bytes / 1024:.1f}",
        str(found.state_bytes),
        f"{found.ram_bytes / 1024:.1f}",
        row.family.device,
        f"no: {'; '.join(row.broken)}" if row.broken else "yes",
    )


def _print_layers(found: Plan) -> None:
    header = ("layer", "output", "kernel", "parameters", "MACs", "live B", "flash B", "state B")
    rows = [
        (layer.name, "x".join(map(str, layer.shape)), *map(str, _numbers(layer))) for layer in found.layers
    ]
    print_rows(header, rows)


def _numbers(layer: Layer) -> tuple[int, ...]:
    return (
        layer.kernel,
        layer.parameters,
        layer.macs,
        layer.activation_bytes,
        layer.flash_bytes,
        layer.state_bytes,
    )
