"""Start-up, help, and how failures are told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from acula_edge import __version__, environment, errors
from acula_edge.cli import app
from acula_edge.commands.options import RuntimeName
from acula_edge.errors import AculaError
from acula_edge.runtime.runner import Runtime
from tests.cli.conftest import Run


def commands() -> dict[str, Any]:
    """Every command, by the words that name it."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        children = getattr(command, "commands", {})
        for name, child in children.items():
            walk(child, (*words, name))
        if words and not children:
            found[" ".join(words)] = command

    walk(get_command(app), ())
    return found


def test_the_commands_are_the_documented_ones() -> None:
    assert set(commands()) == {
        *("build", "verify", "predict", "bench", "doctor", "targets"),
        *("teacher encoders", "teacher train", "teacher eval", "teacher embed", "teacher export"),
        *("distill plan", "distill train", "distill search"),
        *("quantize run", "quantize inspect", "quantize bisect"),
        *("adapt export", "adapt run", "adapt apply", "adapt key"),
        *("models list", "models add"),
    }


def test_help_is_light() -> None:
    script = (
        "import sys; from acula_edge.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'rich', 'soundfile', 'executorch', 'ai_edge_litert'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in commands():
        assert name.split()[0] in done.stdout


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself_and_offers_json(run: Run, name: str) -> None:
    done = run(*name.split(), "--help")
    assert done.code == 0
    assert "--json" in done.out
    parameters = [parameter for parameter in commands()[name].params if parameter.name != "help"]
    assert all(parameter.help for parameter in parameters)
    assert all(parameter.help.split()[0] in done.out for parameter in parameters)


def test_version(run: Run) -> None:
    assert run("--version").out == f"acula-edge {__version__}\n"


def test_installed_program_runs() -> None:
    program = Path(sys.executable).with_name("acula-edge")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"acula-edge {__version__}\n")


def test_runtime_names_are_the_runtimes() -> None:
    assert set(get_args(RuntimeName)) == set(Runtime)


@pytest.mark.parametrize("args", [("nonsense",), ("predict",), ("verify", "x", "--runtime", "cuda")])
def test_wrong_usage_is_exit_2(run: Run, args: tuple[str, ...]) -> None:
    done = run(*args)
    assert done.code == 2
    assert done.out == ""
    assert "Error" in done.err


def _tree(kind: type[AculaError]) -> list[type[AculaError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _tree(child))]


@pytest.mark.parametrize("kind", _tree(AculaError), ids=lambda kind: kind.__name__)
def test_each_error_is_one_sentence_with_its_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[AculaError]
) -> None:
    documented = re.search(rf"{kind.__name__} +(\d)", errors.__doc__ or "")
    assert documented

    def fail() -> None:
        raise kind("row 3, field age: not a number; mend it")

    monkeypatch.setattr(environment, "environment", fail)
    done = run("doctor")
    assert done.code == int(documented.group(1)) == kind.exit_code
    assert done.out == ""
    assert done.err == "error: row 3, field age: not a number; mend it\n"


def test_a_bug_asks_to_be_reported_and_debug_shows_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(environment, "environment", fail)
    done = run("doctor")
    assert done.code == 1
    assert done.err.startswith("error: unexpected ZeroDivisionError: boom")
    assert "--debug" in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in run("--debug", "doctor").err
    assert "Traceback" not in run("doctor").err


def test_interrupt_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "environment", interrupt)
    done = run("doctor")
    assert done.code == 130
    assert "Traceback" not in done.err


def test_closed_pipe_is_quiet() -> None:
    line = [sys.executable, "-m", "acula_edge", "doctor"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_full_disk_is_a_sentence() -> None:
    line = [sys.executable, "-m", "acula_edge", "doctor"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"
