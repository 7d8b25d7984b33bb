"""The command line: every command, and how its failures are told."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from acula_edge import __version__
from acula_edge.commands import adapt, distill, models, quantize, teacher
from acula_edge.commands.bench import bench
from acula_edge.commands.build import build
from acula_edge.commands.doctor import doctor
from acula_edge.commands.predict import predict
from acula_edge.commands.targets import targets
from acula_edge.commands.verify import verify
from acula_edge.errors import AculaError

INTERRUPTED = 130

# Rich help would double the start-up time of `--help`.
app = typer.Typer(
    name="acula-edge",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="Clinically aware audio models for phones and digital stethoscopes.",
    epilog="Research software, not a medical device.",
)
for command in (build, verify, predict, bench, doctor, targets):
    app.command()(command)
app.add_typer(teacher.app, name="teacher")
app.add_typer(distill.app, name="distill")
app.add_typer(quantize.app, name="quantize")
app.add_typer(adapt.app, name="adapt")
app.add_typer(models.app, name="models")

_debug = False  # set once by the command line for --debug


def _show_version(asked: bool) -> None:
    if asked:
        print(f"acula-edge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    version: Annotated[  # noqa: ARG001  typer hands it to the callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    global _debug
    _debug = debug


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line on `args` (the process's own by default) and exit."""
    try:
        _run(args)
    except AculaError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush fails again
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 1)
    except Exception as error:
        kind = type(error).__name__
        _fail(f"unexpected {kind}: {error}; this is a bug: please report it with the output of --debug", 1)
    sys.exit(0)


def _run(args: Sequence[str] | None) -> None:
    try:
        get_command(app).main(args=args, prog_name="acula-edge")
    finally:
        sys.stdout.flush()  # here a closed pipe can still be caught


def _fail(sentence: str, exit_code: int) -> NoReturn:
    if _debug:
        traceback.print_exc()
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(exit_code)
