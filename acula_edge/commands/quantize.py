"""`acula-edge quantize`: what INT8 did to a student, and where."""

from __future__ import annotations

import typer

from acula_edge.commands.quantize_bisect import bisect
from acula_edge.commands.quantize_inspect import inspect

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look into the INT8 graphs of a model.")
app.command()(inspect)
app.command()(bisect)
