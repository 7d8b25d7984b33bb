"""Memory: the most that this process has held resident since it started."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_FIELD = "VmHWM:"  # ru_maxrss would not do: on Linux a process starts with its parent's


def peak_resident_bytes() -> int:
    """Peak resident set size of this process so far (Linux)."""
    lines = _STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(_FIELD)) * 1024
