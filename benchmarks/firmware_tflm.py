"""TFLite Micro's interpreter on a .tflite, for benchmarks/firmware.py and firmware_paths.py.

    python benchmarks/firmware_tflm.py MODEL
    python benchmarks/firmware_tflm.py --outputs MODEL FOLDER

The first prints the least arena in which the model runs, in bytes; an arena that is too small ends the
process, so each size is tried in one of its own. The second runs FOLDER/features.npy, writes output_0.npy and
output_1.npy there, and prints the package's version. Needs the package tflite-micro.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOLERANCE_BYTES = 64
_ROOM_BYTES = 8 * 1024 * 1024


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
    low, high = 1024, _ROOM_BYTES
    while high - low > TOLERANCE_BYTES:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(model, middle) else (middle, high)
    return high


def outputs(model: str, folder: Path) -> str:
    """Every clip of `folder`, and the version that ran it."""
    from importlib import metadata

    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(model, arena_size=_ROOM_BYTES)
    found: tuple[list[object], list[object]] = ([], [])
    for clip in np.load(folder / "features.npy"):
        interpreter.set_input(clip[None], 0)
        interpreter.invoke()
        for index, rows in enumerate(found):
            rows.append(interpreter.get_output(index)[0])
    for index, rows in enumerate(found):
        np.save(folder / f"output_{index}.npy", np.stack(rows))
    return metadata.version("tflite-micro")


if __name__ == "__main__":
    if sys.argv[1] == "--outputs":
        print(outputs(sys.argv[2], Path(sys.argv[3])))
    elif len(sys.argv) == 3:
        run(sys.argv[1], int(sys.argv[2]))
    else:
        print(least(sys.argv[1]))
