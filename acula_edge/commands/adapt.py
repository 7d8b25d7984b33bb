"""`acula-edge adapt`: a larger model teaches a smaller one on a device's own recordings, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acula_edge.commands.options import Bundle, Json
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from distill.adapt.config import AdaptConfig

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Adapt a model to a device: its last layers, taught by a larger model, without labels.",
)

Config = Annotated[Path | None, typer.Option(help="TOML file with the settings of lesson and guards.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what stands in --out.")]


@app.command()
def export(
    bundle: Bundle,
    out: Annotated[Path, typer.Option(help="Where trunk.pte and adapt.pte go.")],
    config: Config = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the training graphs of a bundle.

    trunk.pte is the part that stays as it is; adapt.pte computes loss and gradients of the last layers for
    ExecuTorch's training runtime, on a phone or here.
    """
    from distill.adapt.export import export as write
    from distill.adapt.hearing import open_bundle
    from distill.adapt.names import PLAN

    graphs = write(_config(config).lesson, open_bundle(bundle), out, force=force)
    facts = {
        "graphs": str(graphs.path),
        "digest": graphs.digest,
        "bundle": graphs.manifest.parents[0].digest,
        "batch_size": graphs.manifest.config["batch_size"],
        "planned_bytes": graphs.read_json(PLAN)["planned_bytes"],
    }
    _show(facts, as_json)


@app.command()
def run(
    bundle: Bundle,
    teacher: Annotated[Path, typer.Option(help="Bundle of a larger student of the same teacher.")],
    recordings: Annotated[Path, typer.Option(help="Folder of the device's recordings, without labels.")],
    out: Annotated[Path, typer.Option(help="Where head.bin and its evidence go.")],
    key: Annotated[Path | None, typer.Option(help="Private key that signs the head.")] = None,
    graphs: Annotated[
        Path | None, typer.Option(help="What `adapt export` wrote.  [default: exported anew]")
    ] = None,
    config: Config = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Teach a bundle on a device's recordings.

    Runs adapt.pte in ExecuTorch's training runtime, under guards: an update that lowers the agreement with
    the teacher on held-out recordings, or moves the text scores of other patients too far, is undone. If
    none is accepted, no head is written and the exit code is 3.
    """
    from acula_edge.artifact import Artifact, ArtifactKind
    from acula_edge.commands.files import audio_files
    from distill.adapt.hearing import open_bundle
    from distill.adapt.names import ADAPTATION, HEAD
    from distill.adapt.run import AdaptInputs
    from distill.adapt.run import run as adapt

    inputs = AdaptInputs(
        bundle=open_bundle(bundle),
        teacher=open_bundle(teacher),
        files=list(audio_files([recordings])),
        graphs=Artifact.open(graphs, ArtifactKind.ADAPT_GRAPHS) if graphs else None,
        key=key,
    )
    found = adapt(_config(config), inputs, out, force=force)
    facts = found.read_json(ADAPTATION)
    if as_json:
        print_json({"adaptation": str(found.path), "digest": found.digest, **facts})
        return
    _show_marks(facts)
    print(f"Head: {found.path / HEAD}")


@app.command()
def apply(
    bundle: Bundle,
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="head.bin of `adapt run`.")],
    out: Annotated[Path, typer.Option(help="Where the adapted bundle goes.")],
    public_key: Annotated[
        str | None, typer.Option(help="Who must have signed the head, as `adapt key` prints it.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Put a head into a copy of its bundle.

    The copy runs with LiteRT. A head that is damaged, of another bundle, or not signed with --public-key is
    refused, and nothing is written.
    """
    from acula_edge.progress import say
    from distill.adapt.apply import apply as put
    from distill.adapt.hearing import open_bundle
    from distill.adapt.names import APPLIED

    adapted = put(open_bundle(bundle), head, public_key, out, force=force)
    applied = adapted.read_json(APPLIED)
    if not applied["signed"]:
        say("the head is not signed: only its checksum was looked at")
    _show({"bundle": str(adapted.path), "digest": adapted.digest, "left_out": applied["left_out"]}, as_json)


@app.command()
def key(
    out: Annotated[Path, typer.Option(help="Where the private key goes; only its owner can read the file.")],
    as_json: Json = False,
) -> None:
    """Make a key that signs heads, and print its public half."""
    from distill.adapt.signature import make_key

    _show({"private_key": str(out), "public_key": make_key(out)}, as_json)


def _config(file: Path | None) -> AdaptConfig:
    """Defaults, overlaid by a TOML file."""
    from pydantic import ValidationError

    from acula_edge.build import read_toml
    from acula_edge.errors import UsageError
    from distill.adapt.config import AdaptConfig

    try:
        return AdaptConfig.model_validate(read_toml(file) if file else {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{file}: {where}: {first['msg']}") from None


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    texts = {
        name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in facts.items()
    }
    print_rows(("what", "value"), list(texts.items()))


def _show_marks(facts: dict[str, Any]) -> None:
    columns = ("loss", "cosine", "centred", "rank", "drift")
    rows = [
        (form, when, *(f"{facts[form][when][name]:.4f}" for name in columns))
        for form in ("float", "int8")
        for when in ("before", "after")
    ]
    print_rows(("graph", "", *columns), rows)
