"""`acula-edge models`: pretrained weights, listed or added."""

from __future__ import annotations

from typing import Annotated

import typer

from acula_edge.commands.options import Json
from acula_edge.commands.output import print_json, print_rows

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List pretrained weights, or add them.")


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List weights, and which are here."""
    from acula_edge.weights import WEIGHTS, installed

    if as_json:
        print_json([_row(name) for name in WEIGHTS])
        return
    rows = [
        (name, "yes" if installed(name) else "no", entry.kind, _megabytes(entry.size_bytes), entry.licence)
        for name, entry in WEIGHTS.items()
    ]
    print_rows(("name", "here", "for", "MB", "licence"), rows)


@app.command()
def add(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names from `models list`.")],
    as_json: Json = False,
) -> None:
    """Download weights and check their hashes.

    The only command that downloads anything.
    """
    from acula_edge.fetch import add as fetch
    from acula_edge.weights import entry

    for name in names:
        entry(name)  # an unknown name is refused before anything is downloaded
    folders = {name: str(fetch(name)) for name in names}
    if as_json:
        print_json(folders)
    else:
        print_rows(("name", "folder"), list(folders.items()))


def _row(name: str) -> dict[str, object]:
    from acula_edge.weights import WEIGHTS, installed

    entry = WEIGHTS[name]
    return {
        "name": name,
        "installed": installed(name),
        "kind": entry.kind,
        "source": str(entry.source),
        "licence": entry.licence,
        "size_bytes": entry.size_bytes,
        "facts": entry.facts,
    }


def _megabytes(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / 1e6:.0f}"
