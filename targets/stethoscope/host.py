"""Host: a library compiled by this machine's gcc, and run on a clip layer by layer."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import GateError, ToolError
from targets.stethoscope.cores import CFLAGS, HOST_CFLAGS, VENDORED
from targets.stethoscope.hops import Hops
from targets.stethoscope.library import Firmware, shipped_files
from targets.stethoscope.network import Value

COMPILER, APT = "gcc", "apt install gcc libc6-dev"
_PROBE = "acula_probe.c"

Steps = NDArray[np.int8]


@dataclass(frozen=True)
class Heard:
    """What the library made of a clip: int8 features and the result of each layer, (mels, frames, channels).

    The last frames that fill no hop are missing. A vector is (1, 1, n), and that of the last hop.
    """

    features: Steps
    results: tuple[Steps, ...]


def compile_probe(library: Path, folder: Path) -> Path:
    """The shared object, in `folder`, of a library (folders include, src, cmsis_nn if there) and the probe.

    Raises ToolError without a compiler, GateError if it refuses the sources.
    """
    if shutil.which(COMPILER) is None:
        raise ToolError(f"{COMPILER} not found; run: {APT}")
    probe, out = folder / _PROBE, folder / "libacula.so"
    probe.write_text(shipped_files("probe")[_PROBE], encoding="utf-8")
    includes = [f"-I{library / name}" for name in ("include", "src", VENDORED)]
    sources = [*(path for name in ("src", VENDORED) for path in sorted((library / name).glob("*.c"))), probe]
    flags = [*CFLAGS, *HOST_CFLAGS, "-shared", "-fPIC", *includes]
    command = [COMPILER, *flags, *map(str, sources), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
        raise GateError(f"{COMPILER} refused the sources: {first}")
    return out


def hear(shared: Path, firmware: Firmware, pcm: NDArray[np.int16]) -> Heard:
    """A clip of PCM int16 (clip_samples,) through the library that `firmware` describes."""
    hops, rows = firmware.hops, list(_run(shared, firmware, np.ascontiguousarray(pcm)))
    values = (hops.network.features, *(layer.result for layer in hops.network.layers))
    maps = [_joined(value, [row[place] for row in rows], hops) for place, value in enumerate(values)]
    return Heard(maps[0], tuple(maps[1:]))


def _run(shared: Path, firmware: Firmware, pcm: NDArray[np.int16]) -> Iterator[list[Steps]]:
    """For each hop, the features and each layer's result, flat."""
    library = ctypes.CDLL(str(shared))
    library.acula_push_pcm.restype = library.acula_probe_state_bytes.restype = ctypes.c_size_t
    size = library.acula_probe_state_bytes()
    state, trial = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
    result = ctypes.create_string_buffer(size)  # more than a result takes
    network, plan = firmware.hops.network, firmware.plan

    def read(value: Value) -> Steps:
        # The arena is the first member of the state.
        start = plan.offset(value)
        return np.frombuffer(trial.raw[start : start + value.size_bytes], np.int8)

    library.acula_init(state)
    at = 0
    for _ in range(firmware.hops.count):
        left = ctypes.c_size_t(pcm.size - at)
        at += library.acula_push_pcm(state, ctypes.c_void_p(pcm.ctypes.data + at * pcm.itemsize), left)
        # On a copy: the library runs the hop itself, too, and keeps what the next one needs.
        ctypes.memmove(trial, state, size)
        found = [read(network.features)]
        library.acula_probe_begin(trial)
        for step, layer in enumerate(network.layers):
            library.acula_probe_step(trial, ctypes.c_int32(step))
            found.append(read(layer.result))
        library.acula_poll(state, result)
        yield found


def _joined(value: Value, parts: list[Steps], hops: Hops) -> Steps:
    """The hops' parts of a map, one after the other; of a vector, the last one."""
    if value.shape[:2] == (1, 1):
        return parts[-1].reshape(value.shape)
    maps = [part.reshape(value.shape) for part in parts]
    return np.concatenate(maps).transpose(1, 0, 2) if hops.turned else maps[0]
