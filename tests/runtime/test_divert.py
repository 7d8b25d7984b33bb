"""What native code prints goes to a log, and the descriptors come back."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from acula_edge.runtime.divert import divert_output


def test_descriptors_python_output_and_warnings_are_diverted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    with divert_output(log):
        os.write(1, b"native out\n")
        os.write(2, b"native err\n")
        subprocess.run(["echo", "child"], check=True)
        warnings.warn("a third party's warning", DeprecationWarning, stacklevel=1)
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"
    text = log.read_text()
    assert text.startswith("native out\nnative err\nchild\n")
    assert "DeprecationWarning: a third party's warning" in text


def test_print_does_not_reach_stdout(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from acula_edge.runtime.divert import divert_output\n"
        f"with divert_output(Path({str(tmp_path / 'log')!r})):\n"
        "    print('noise')\n"
        "    print('worse', file=sys.stderr)\n"
        "print('result')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("result\n", "")
    assert (tmp_path / "log").read_text().splitlines() == ["noise", "worse"]


def test_descriptors_come_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with divert_output():
            os.write(1, b"lost\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(1, b"back\n")
    assert capfd.readouterr().out == "back\n"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with divert_output(tmp_path / "log"):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
