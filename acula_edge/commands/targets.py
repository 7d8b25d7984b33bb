"""`acula-edge targets`: what `build --target` accepts."""

from __future__ import annotations

from acula_edge.commands.options import Json
from acula_edge.commands.output import print_json, print_rows


def targets(as_json: Json = False) -> None:
    """List what a bundle can be built for."""
    from targets.table import TARGETS

    if as_json:
        print_json(
            [
                {
                    "name": target.name,
                    "description": target.description,
                    "runtimes": list(target.runtimes),
                    "files": list(target.files),
                }
                for target in TARGETS.values()
            ]
        )
        return
    rows = [(target.name, target.description, " ".join(target.files)) for target in TARGETS.values()]
    print_rows(("target", "for", "model files"), rows)
