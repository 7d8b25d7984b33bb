"""`acula-edge quantize run`: the INT8 graphs of a student."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.commands.options import Data, Json, Seed, Work
from acula_edge.commands.output import NOTICE, print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact, ArtifactKind


def run(
    out: Annotated[Path, typer.Option(help="Where the INT8 graphs go.")],
    student: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDENT]", help="Folder of a student; without it, one is trained."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder of the student's teacher, which knows the reports to search among."),
    ] = None,
    data: Data = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with the sections data, teacher, distill and quantize.")
    ] = None,
    work: Work = Path(".acula-edge"),
    seed: Seed = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what stands in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Quantise a student: calibrate, tune or train it as --config says, convert, and prove the files.

    A STUDENT must have been trained with the same --data. A run that was killed goes on where it stopped.
    The exit code is 3 if a gate is missed; the message names the layer to leave in float, and the folder
    with the files.
    """
    from acula_edge import build as line
    from acula_edge.artifact import ArtifactKind

    given = _given(student, teacher)
    made = line.make(line.BuildConfig.load(config, None, seed), data, work, ArtifactKind.QUANTIZED, given)
    _show(made.copy(out, force), as_json)


def _given(student: Path | None, teacher: Path | None) -> dict[ArtifactKind, Artifact]:
    """Raises ArtifactError for a teacher of another student."""
    from acula_edge.artifact import Artifact, ArtifactKind
    from acula_edge.errors import ArtifactError

    named = {ArtifactKind.TEACHER: teacher, ArtifactKind.STUDENT: student}
    given = {kind: Artifact.open(path, kind) for kind, path in named.items() if path}
    if len(given) == len(named):
        parents = given[ArtifactKind.STUDENT].manifest.parents
        if given[ArtifactKind.TEACHER].parent not in parents:
            raise ArtifactError(f"{teacher} did not teach {student}; give its own teacher, or none")
    return given


def _show(made: Artifact, as_json: bool) -> None:
    from acula_edge.evidence.fidelity import Fidelity
    from acula_edge.evidence.gates import Gates

    sizes = {entry.name: entry.bytes for entry in made.manifest.files if entry.name.startswith("model")}
    gates = Gates.model_validate(made.read_json("gates.json"))
    accuracy = Fidelity.model_validate(made.read_json("fidelity.json")).accuracy
    scores = {system.title: system.mean.value for system in accuracy.systems}
    if as_json:
        told = {"quantized": str(made.path), "digest": made.digest, "files": sizes, "mean_auroc": scores}
        print_json({**told, "gates": gates.model_dump(mode="json")})
        return
    print_rows(("file", "bytes"), [(name, str(size)) for name, size in sizes.items()])
    print("Mean AUROC on the validation patients")
    print_rows(
        ("system", "AUROC"),
        [(title, "-" if value is None else f"{value:.3f}") for title, value in scores.items()],
    )
    print(f"{len(gates.gates)} gates passed. INT8 graphs: {made.path}. {NOTICE}")
