"""`acula-edge build`: from recordings to a verified bundle with its report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acula_edge.commands.options import Data, Json, Seed, Work
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact
    from acula_edge.build import Step


def build(
    target: Annotated[str, typer.Option(help="What to build for; `acula-edge targets` lists them.")],
    data: Data = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with a section for each stage.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the bundle goes.  [default: build/TARGET]", show_default=False)
    ] = None,
    work: Work = Path(".acula-edge"),
    seed: Seed = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what stands in --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print which stages are cached and which would run.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Build a verified model and its report.

    From labelled recordings to INT8 graphs for the target, in stages; a stage whose result is already in
    --work is not run again.
    """
    from acula_edge import build as line
    from acula_edge import progress

    # Set before torch loads its OpenMP: threads that wait by spinning halve the speed of a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    progress.quiet = quiet
    resolved = line.BuildConfig.load(config, target, seed)
    if dry_run:
        _show_plan(line.plan(resolved, data, work), as_json)
        return
    bundle = line.build(resolved, data, work, out or Path("build") / target, force=force)
    _show_result(bundle, as_json)


def _show_plan(steps: list[Step], as_json: bool) -> None:
    if as_json:
        print_json({"stages": [_step(step) for step in steps]})
        return
    rows = [(str(step.kind), "cached" if step.cached else "will run", str(step.out or "")) for step in steps]
    print_rows(("makes", "state", "folder"), rows)


def _step(step: Step) -> dict[str, Any]:
    return {"kind": step.kind, "cached": step.cached is not None, "path": str(step.out) if step.out else None}


def _show_result(bundle: Artifact, as_json: bool) -> None:
    report = bundle.read_json("report.json")
    if as_json:
        found = {name: report[name] for name in ("verdict", "notice", "simulated")}
        print_json({"bundle": str(bundle.path), "digest": bundle.digest, **found})
        return
    print(report["verdict"])
    print(f"Bundle: {bundle.path} (read {bundle.path / 'report.html'}). {report['notice']}")
