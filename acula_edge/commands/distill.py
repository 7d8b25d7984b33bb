"""`acula-edge distill`: students: what they cost, how they are trained, and the search for one."""

from __future__ import annotations

import typer

from acula_edge.commands.distill_plan import plan
from acula_edge.commands.distill_search import search
from acula_edge.commands.distill_train import train

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Compress a teacher into a student.")
app.command()(plan)
app.command()(train)
app.command()(search)


@app.callback()
def _group() -> None:
    """Keeps the group a group while it has one command."""
