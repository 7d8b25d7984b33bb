"""`acula-edge distill train`: a student of a teacher."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.commands.options import Data, Json, Seed, Work
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact
    from acula_edge.build import BuildConfig


def train(
    out: Annotated[Path, typer.Option(help="Where the student goes.")],
    teacher: Annotated[
        Path | None,
        typer.Argument(metavar="[TEACHER]", help="Folder of a teacher; without it, one is trained."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(metavar="FAMILY", help="Shape of the student; `acula-edge distill plan` lists them."),
    ] = None,
    data: Data = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with the sections data, teacher and distill.")
    ] = None,
    work: Work = Path(".acula-edge"),
    seed: Seed = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what stands in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train a student on what a teacher says of the training patients.

    A run that was killed goes on where it stopped. A TEACHER must have been trained with the same --data
    and --config.
    """
    from acula_edge import build as line
    from acula_edge.artifact import Artifact, ArtifactKind

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    resolved = _with_student(line.BuildConfig.load(config, None, seed), student)
    kind = ArtifactKind.TEACHER
    given = {kind: Artifact.open(teacher, kind)} if teacher else {}
    made = line.make(resolved, data, work, ArtifactKind.STUDENT, given)
    _show(made.copy(out, force), as_json)


def _with_student(config: BuildConfig, name: str | None) -> BuildConfig:
    """`config` with the student family `name`. Raises UsageError naming the families there are."""
    from acula_edge.students.families import family

    if name is None:
        return config
    distill = config.distill.model_copy(update={"student": family(name).config})
    return config.model_copy(update={"distill": distill})


def _show(student: Artifact, as_json: bool) -> None:
    found = student.read_json("distill.json")
    scores = {"validation": found["validation"], "zero_shot": found["zero_shot"]}
    if as_json:
        counts = {name: found[name] for name in ("train_clips", "train_views", "kept")}
        epochs = len(found["history"])
        print_json(
            {"student": str(student.path), "digest": student.digest, **scores, "epochs": epochs, **counts}
        )
        return
    tasks = sorted({task for of_task in scores.values() for task in of_task})
    rows = [
        [name, *(f"{of_task[task]:.3f}" if task in of_task else "-" for task in tasks)]
        for name, of_task in zip(("task heads", "text prototypes"), scores.values(), strict=True)
    ]
    print("AUROC on the validation patients")
    print_rows(("scored by", *tasks), rows)
    print(f"Student: {student.path}. Research software, not a medical device.")
