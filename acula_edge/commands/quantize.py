"""`acula-edge quantize`: INT8 graphs: how they are made, what INT8 did to a student, and where."""

from __future__ import annotations

import typer

from acula_edge.commands.quantize_bisect import bisect
from acula_edge.commands.quantize_inspect import inspect
from acula_edge.commands.quantize_run import run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make INT8 graphs, and look into them.")
app.command()(run)
app.command()(inspect)
app.command()(bisect)
