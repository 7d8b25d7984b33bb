"""`acula-edge predict`: the scores of recordings."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from acula_edge.commands.options import Bundle, Json, RuntimeName

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact
    from acula_edge.bench.scoring import GraphScorer
    from acula_edge.data.tasks import Task
    from acula_edge.evidence.decisions import Decisions


@dataclass(frozen=True)
class _Scored:
    file: Path
    values: list[float]
    decisions: dict[str, str]


@dataclass(frozen=True)
class _Failed:
    file: Path
    reason: str


def predict(
    bundle: Bundle,
    recordings: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR...", help="Recordings, or folders of them.")
    ],
    runtime: Annotated[RuntimeName, typer.Option(help="Which of the bundle's models to run.")] = "tflite",
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="Form of the result.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="Write the result to this file, not to stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Score recordings with a bundle.

    For each task, the calibrated probability of its positive class or of every class, and for a binary one
    the bundle's decision: positive, negative or abstain. A file that can not be read is named on stderr;
    the others are scored, and the exit code is 1.
    """
    from acula_edge.artifact import Artifact, ArtifactKind
    from acula_edge.bench.folder import rules_of, tasks_of
    from acula_edge.bench.scoring import GraphScorer
    from acula_edge.bench.systems import graph_of
    from acula_edge.commands.files import audio_files
    from acula_edge.progress import track
    from acula_edge.runtime.runner import Runtime

    model = Artifact.open(bundle, ArtifactKind.BUNDLE)
    tasks = tasks_of(model)
    scorer = GraphScorer.open(model, graph_of(Runtime(runtime)))
    files = list(audio_files(recordings))
    rules = rules_of(model)
    results = [_score(file, scorer, tasks, rules) for file in track(files, len(files), "Scoring recordings")]
    scored = [found for found in results if isinstance(found, _Scored)]
    failed = [found for found in results if isinstance(found, _Failed)]
    write = _write_json if as_json or form == "json" else _write_csv
    with _stream(out) as stream:
        write(stream, model, scored, failed)
    for found in failed:
        print(f"{found.file}: not scored: {found.reason}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _score(file: Path, scorer: GraphScorer, tasks: Sequence[Task], rules: Decisions) -> _Scored | _Failed:
    from acula_edge.bench import columns
    from acula_edge.data.audio import read_audio
    from acula_edge.errors import DataError

    try:
        samples, rate_hz = read_audio(file)
    except DataError as error:
        return _Failed(file, str(error).removeprefix(f"{file}: "))
    logits = scorer(samples, rate_hz)
    said = {name: str(decision) for name, decision in rules.decide(tasks, logits).items()}
    return _Scored(file, columns.values(tasks, rules.calibrated(tasks, logits)), said)


@contextlib.contextmanager
def _stream(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    with out.open("w", encoding="utf-8", newline="") as stream:
        yield stream


def _write_csv(stream: TextIO, model: Artifact, scored: Sequence[_Scored], failed: Sequence[_Failed]) -> None:
    from acula_edge.bench import columns
    from acula_edge.bench.folder import rules_of, tasks_of

    del failed  # a person reads them on stderr
    writer = csv.writer(stream, lineterminator="\n")
    decided = [f"decision:{own.task}" for own in rules_of(model).tasks if own.rule]
    writer.writerow(["file", *columns.names(tasks_of(model)), *decided])
    writer.writerows([found.file, *found.values, *found.decisions.values()] for found in scored)


def _write_json(
    stream: TextIO, model: Artifact, scored: Sequence[_Scored], failed: Sequence[_Failed]
) -> None:
    from acula_edge.bench import columns
    from acula_edge.bench.folder import tasks_of

    names = columns.names(tasks_of(model))
    document: dict[str, Any] = {
        "notice": model.read_json("labels.json")["notice"],
        "recordings": [
            {
                "file": str(found.file),
                "scores": dict(zip(names, found.values, strict=True)),
                "decisions": found.decisions,
            }
            for found in scored
        ],
        "failed": [{"file": str(found.file), "reason": found.reason} for found in failed],
    }
    stream.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
