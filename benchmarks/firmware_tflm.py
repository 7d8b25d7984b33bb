"""The least arena in which TFLite Micro's interpreter runs a .tflite; benchmarks/firmware.py runs it.

    python benchmarks/firmware_tflm.py MODEL

Needs the package tflite-micro. An arena that is too small ends the process, so each size is tried in one of
its own. Prints bytes.
"""

from __future__ import annotations

import subprocess
import sys

TOLERANCE_BYTES = 64


def fits(model: str, arena_bytes: int) -> bool:
    """Whether the model runs in such an arena."""
    command = [sys.executable, __file__, model, str(arena_bytes)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(model: str, arena_bytes: int) -> None:
    """One inference of zeros."""
    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(model, arena_size=arena_bytes)
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    interpreter.invoke()


def least(model: str) -> int:
    """By halving."""
    low, high = 1024, 8 * 1024 * 1024
    while high - low > TOLERANCE_BYTES:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(model, middle) else (middle, high)
    return high


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(sys.argv[1], int(sys.argv[2]))
    else:
        print(least(sys.argv[1]))
