"""`acula-edge teacher`: the first stage alone: encoders, training, evaluation, embeddings, export."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from acula_edge.commands.options import Data, Json, Seed, Work
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Align an audio encoder with reports, and use it."
)

Teacher = Annotated[Path, typer.Argument(metavar="TEACHER", help="Folder of a teacher.", show_default=False)]
Variant = Annotated[
    str, typer.Option(help="Which encoder of the teacher: aligned, base, or one of its controls.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what stands in --out.")]


@app.command()
def encoders(as_json: Json = False) -> None:
    """List the audio encoders, their cost for a clip of 8 s, and whether their weights are here."""
    from acula_edge.contract import AudioContract
    from acula_edge.encoders.cost import encoder_facts

    facts = encoder_facts(AudioContract())
    if as_json:
        print_json([fact.to_json() for fact in facts])
        return
    rows = [
        (
            fact.name,
            str(fact.dim),
            f"{fact.parameters / 1e6:.2f}",
            f"{fact.mmac:.0f}",
            f"{fact.sample_rate_hz / 1000:g}",
            f"{fact.speed:g}",
            fact.ssl,
            "yes" if fact.here else "no",
            fact.licence,
        )
        for fact in facts
    ]
    print_rows(("name", "dim", "M params", "MMAC", "kHz", "speed", "own loss", "here", "licence"), rows)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Where the teacher goes.")],
    data: Data = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with the sections data and teacher.")] = None,
    work: Work = Path(".acula-edge"),
    seed: Seed = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Align an encoder with the reports of the training patients, and train its controls.

    A run that was killed goes on where it stopped. Several GPUs or processes: start it with torchrun or
    accelerate launch.
    """
    from acula_edge import build as line
    from acula_edge.artifact import ArtifactKind

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    resolved = line.BuildConfig.load(config, None, seed)
    teacher = line.make(resolved, data, work, ArtifactKind.TEACHER).copy(out, force)
    _show_teacher(teacher, as_json)


def _show_teacher(teacher: Artifact, as_json: bool) -> None:
    found = teacher.read_json("teacher.json")
    if as_json:
        print_json(
            {"teacher": str(teacher.path), "digest": teacher.digest, "validation": found["validation"]}
        )
        return
    tasks = sorted({task for scores in found["validation"].values() for task in scores})
    rows = [
        [name, *(f"{scores[task]:.3f}" if task in scores else "-" for task in tasks)]
        for name, scores in found["validation"].items()
    ]
    print("AUROC of a linear probe on the validation patients")
    print_rows(("encoder", *tasks), rows)
    print(f"Teacher: {teacher.path}. Research software, not a medical device.")


@app.command("eval")
def evaluate(
    teacher: Teacher,
    out: Annotated[Path, typer.Option(help="Folder for the report: JSON, Markdown and HTML.")],
    data: Data = None,
    config: Annotated[Path | None, typer.Option(help="The TOML file that it was trained with.")] = None,
    work: Work = Path(".acula-edge"),
    split: Annotated[
        Literal["val", "test"],
        typer.Option(help="Which patients are scored. Choose on val; look at test once."),
    ] = "val",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Evaluate a teacher against its base encoder and its controls.

    Linear probes, zero-shot, retrieval, geometry and slices, with intervals over patients.
    """
    from acula_edge import build as line
    from acula_edge.artifact import Artifact, ArtifactKind
    from acula_edge.data.recording import Split
    from acula_edge.errors import ArtifactError
    from acula_edge.evaluation.stage import evaluate as run

    model = Artifact.open(teacher, ArtifactKind.TEACHER)
    resolved = line.BuildConfig.load(config, None, model.manifest.seed)
    dataset = line.make(resolved, data, work, ArtifactKind.DATASET)
    if dataset.parent not in model.manifest.parents:
        raise ArtifactError(
            f"{teacher} was trained on other recordings or splits than {data or 'the simulated ones'}; give "
            "the --data and --config that it was trained with"
        )
    report = run(model, dataset, Split(split), out, force)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print(report.verdict)
        print(f"Report: {out} (read {out / 'report.html'}). {report.notice}")


@app.command()
def embed(
    teacher: Teacher,
    recordings: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR...", help="Recordings, or folders of them.")
    ],
    out: Annotated[Path, typer.Option(help="An .npz file: embeddings (n, dim) float32 and files (n,).")],
    variant: Variant = "aligned",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Embed recordings: one vector for each, the mean over its clips.

    A file that can not be read is named on stderr; the others are embedded, and the exit code is 1.
    """
    import sys

    import numpy as np

    from acula_edge.artifact import Artifact, ArtifactKind
    from acula_edge.commands.files import audio_files
    from acula_edge.data.audio import read_audio
    from acula_edge.encoders.teacher_model import TeacherModel
    from acula_edge.errors import DataError, ExistsError
    from acula_edge.progress import track

    if out.exists() and not force:
        raise ExistsError(f"{out} exists already; choose another --out or give --force")
    model = TeacherModel.open(Artifact.open(teacher, ArtifactKind.TEACHER), variant)
    files = list(audio_files(recordings))
    found = {}
    for file in track(files, len(files), "Embedding recordings"):
        try:
            found[str(file)] = model.embed(*read_audio(file))
        except DataError as error:
            print(f"{file}: not embedded: {error}", file=sys.stderr)
    if not found:
        raise DataError("not one recording could be read; look at the audio files")
    aside = out.with_name(f".{out.name}.writing")
    arrays = {"files": np.array(list(found)), "embeddings": np.stack(list(found.values()))}
    with aside.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    aside.replace(out)
    dim = next(iter(found.values())).size
    if as_json:
        print_json({"embeddings": str(out), "recordings": len(found), "dim": dim, "variant": variant})
    else:
        print(f"{len(found)} recordings, {dim} numbers each: {out}")
    if len(found) < len(files):
        raise typer.Exit(1)


@app.command()
def export(
    teacher: Teacher,
    out: Annotated[Path, typer.Option(help="Folder for a transformers model.")],
    variant: Variant = "aligned",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Export an encoder as a folder that transformers.AutoModel loads."""
    from acula_edge.artifact import Artifact, ArtifactKind
    from acula_edge.encoders.export import export_encoder
    from acula_edge.encoders.teacher_model import TEACHER_FILE, TeacherModel

    artifact = Artifact.open(teacher, ArtifactKind.TEACHER)
    name = artifact.read_json(TEACHER_FILE)["encoder"]
    model = TeacherModel.open(artifact, variant)
    export_encoder(model, name, out, {"teacher": artifact.digest, "variant": variant}, force=force)
    if as_json:
        print_json({"encoder": str(out), "teacher": artifact.digest, "variant": variant})
    else:
        print(
            f"Encoder: {out}. Load it with: import acula_edge.encoders.export; AutoModel.from_pretrained(...)"
        )
