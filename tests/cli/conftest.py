"""The command line, run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from acula_edge.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, stdout and stderr."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `acula-edge` with some arguments."""

    def run_main(*args: str | Path) -> Done:
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        captured = capsys.readouterr()
        code = stop.value.code
        return Done(code if isinstance(code, int) else int(bool(code)), captured.out, captured.err)

    return run_main
