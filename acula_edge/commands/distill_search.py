"""`acula-edge distill search`: the front end and the student that suit a budget."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.commands.options import Data, Json, Seed, Work
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact
    from distill.search_result import SearchResult


def search(
    budget: Annotated[
        str,
        typer.Option(help="Most that the student may take, as in ram=96KiB,flash=256KiB,mmac=15."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the trials, the Pareto front and best.toml.")],
    teacher: Annotated[
        Path | None,
        typer.Argument(metavar="[TEACHER]", help="Folder of a teacher; without it, one is trained."),
    ] = None,
    data: Data = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with the sections data, teacher and distill.")
    ] = None,
    trials: Annotated[int, typer.Option(help="How many students are trained.", min=1)] = 24,
    epochs: Annotated[int, typer.Option(help="For how many epochs each.", min=1)] = 24,
    work: Work = Path(".acula-edge"),
    seed: Seed = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what stands in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Search front end and architecture within a budget.

    Shapes that break the budget are left out before training; the others are distilled for some epochs
    and scored on the validation patients. A search that was killed goes on where it stopped; with more
    --trials and --force, one that has ended goes on too. Build the best with: acula-edge build --config
    OUT/best.toml.
    """
    from acula_edge import build as line
    from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter
    from acula_edge.students.budget import parse_budget
    from distill.search_config import SearchConfig

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    limits = parse_budget(budget)
    resolved = line.BuildConfig.load(config, None, seed)
    settings = resolved.model_dump(mode="json", exclude_defaults=True)
    wanted = SearchConfig(budget=limits, trials=trials, epochs=epochs, seed=seed or 0, settings=settings)
    ArtifactWriter(out, force=force)  # refuses an `out` that is taken before the teacher is made
    _require_optuna()
    kind = ArtifactKind.TEACHER
    model = Artifact.open(teacher, kind) if teacher else line.make(resolved, data, work, kind)
    dataset = line.make(resolved, data, work, ArtifactKind.DATASET)

    from distill.search import run
    from distill.stage import DistillInputs

    _show(*run(wanted, DistillInputs(model, dataset), work, out, force), as_json)


def _require_optuna() -> None:
    """Said before the teacher is trained, not after."""
    from importlib.util import find_spec

    from acula_edge.errors import missing_extra

    if find_spec("optuna") is None:
        raise missing_extra("optuna", "search")


def _show(artifact: Artifact, result: SearchResult, as_json: bool) -> None:
    from distill.search_page import HEADER, figures

    front = [result.trial(index) for index in result.front]
    if as_json:
        found = {"verdict": result.verdict, "simulated": result.simulated, "best": result.best}
        trials = [trial.model_dump(mode="json") for trial in front]
        print_json({"search": str(artifact.path), "digest": artifact.digest, **found, "front": trials})
        return
    print(result.verdict)
    rows = [(str(trial.index), *figures(trial), trial.choice.front_end) for trial in front]
    print_rows((*HEADER, "front end"), rows)
    print(f"Search: {artifact.path} (plot: front.html; build the best with best.toml). {result.notice}")
