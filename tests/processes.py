"""Code in a process of its own, from the root of the tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def fresh_process(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `script` with `sys.argv[1:]` = `arguments`. Equal bits need equal processes.

    What else a long test process has loaded may change how many threads, and which kernels, it computes
    with.
    """
    command = [sys.executable, "-c", script, *map(str, arguments)]
    root = Path(__file__).parents[1]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
