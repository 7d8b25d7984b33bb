"""`acula-edge bench`: accuracy on an owner's recordings, or speed on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.commands.options import Json
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact
    from acula_edge.evidence.tables import Table


def bench(
    model: Annotated[
        Path, typer.Argument(metavar="BUNDLE|TEACHER", help="Folder of a bundle or of a teacher.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled recordings folder. Without it, speed and memory are measured."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --data: write every recording's scores to this CSV file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure accuracy, or speed and memory.

    With --data, accuracy on any labelled recordings, in every runtime that is installed and by a
    stethoscope's C library where gcc is, and how a bundle's frozen decisions do there; without it, latency
    and memory on this machine.
    """
    from acula_edge.artifact import Artifact
    from acula_edge.errors import UsageError

    if data is None and out is not None:
        raise UsageError("--out holds the scores of recordings; give them with --data DIR")
    artifact = Artifact.open(model)
    if data is None:
        _speed(artifact, as_json)
    else:
        _accuracy(artifact, data, out, as_json)


def _accuracy(artifact: Artifact, data: Path, out: Path | None, as_json: bool) -> None:
    from acula_edge.bench.config import BenchConfig
    from acula_edge.bench.folder import bench_folder, write_scores
    from acula_edge.evidence.operating import operating_table
    from acula_edge.evidence.sections import accuracy_table
    from acula_edge.progress import say
    from targets.stethoscope.host_runner import library_of

    found = bench_folder(artifact, data, BenchConfig(), library_of(artifact))
    if out is not None:
        write_scores(found, out)
    for warning in found.result.warnings:
        say(f"warning: {warning}")
    for row in found.result.broken:
        say(f"left out: line {row.line}, {row.reason}")
    if as_json:
        print_json(found.result.model_dump(mode="json"))
    else:
        _print_table(accuracy_table(found.result.accuracy))
        if found.result.operating:
            print()
            _print_table(operating_table(found.result.operating))


def _speed(artifact: Artifact, as_json: bool) -> None:
    from acula_edge.artifact import ArtifactKind
    from acula_edge.bench.config import BenchConfig
    from acula_edge.bench.latency import measure
    from acula_edge.bench.sections import timing_table
    from acula_edge.errors import UsageError
    from acula_edge.progress import say

    if artifact.manifest.kind is not ArtifactKind.BUNDLE:
        raise UsageError(f"{artifact.path} is a {artifact.manifest.kind} artifact; give --data DIR with it")
    found = measure(artifact, None, BenchConfig())
    for sentence in found.not_measured:
        say(f"not measured: {sentence}")
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print(f"{found.device}; one clip of {found.clip_seconds:g} s")
        _print_table(timing_table(found.timings))


def _print_table(table: Table) -> None:
    rows = [
        [f"{cell.text} ({cell.detail})" if cell.detail else cell.text for cell in row] for row in table.rows
    ]
    print_rows(table.header, rows)
