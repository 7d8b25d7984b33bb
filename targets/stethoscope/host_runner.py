"""Host runner: a bundle's library as a runtime, compiled by this machine's gcc.

The sources are those of the board, without instructions of its core: `verify` finds the same bits in both.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.runtime.runner import GraphInput, Outputs, Runner, run_each
from targets.stethoscope.bundle import MODEL
from targets.stethoscope.host import compile_probe
from targets.stethoscope.lowering import read_network
from targets.stethoscope.network import Network, Value
from targets.stethoscope.verify import core_of

Floats = NDArray[np.float32]


class HostRunner:
    """The library of a bundle; see `acula_edge.runtime.runner.Runner`. It takes PCM."""

    def __init__(self, bundle: Artifact) -> None:
        """Compile and load. Raises ToolError without a compiler, GateError if it refuses the sources."""
        self._path = bundle.path
        self._network: Network = read_network(bundle.file(MODEL))
        samples = AudioContract.of(bundle.manifest.contract).clip_samples
        self._input = GraphInput((1, samples), np.dtype(np.int16))
        with tempfile.TemporaryDirectory() as folder:
            self._library = ctypes.CDLL(str(compile_probe(bundle.path.resolve(), Path(folder))))
        self._library.acula_push_pcm.restype = ctypes.c_size_t
        self._library.acula_probe_state_bytes.restype = ctypes.c_size_t
        size = self._library.acula_probe_state_bytes()
        self._state = ctypes.create_string_buffer(size)
        self._result = ctypes.create_string_buffer(size)  # more than a result takes
        self._library.acula_init(self._state)

    def run(self, batch: NDArray[Any]) -> Outputs:
        """Embedding and logits of clips int16 (n, clip_samples). Raises ContractError for another batch."""
        return run_each(self._path, self._input, self._infer, batch)

    def _infer(self, clip: NDArray[np.int16]) -> tuple[Floats, Floats]:
        samples, at = clip[0], 0
        self._library.acula_restart(self._state)
        while at < samples.size:
            start = ctypes.c_void_p(samples.ctypes.data + at * samples.itemsize)
            at += self._library.acula_push_pcm(self._state, start, ctypes.c_size_t(samples.size - at))
            self._library.acula_poll(self._state, self._result)
        # The result begins with both vectors, in steps.
        embedding, logits = self._network.embedding, self._network.logits
        return self._real(embedding, 0), self._real(logits, embedding.size_bytes)

    def _real(self, value: Value, start: int) -> Floats:
        steps = np.frombuffer(self._result.raw[start : start + value.size_bytes], np.int8).astype(np.float32)
        grid = value.grid
        return np.asarray((steps - np.float32(grid.zero_point)) * np.float32(grid.scale))[None]


def library_of(bundle: Artifact) -> Callable[[], Runner] | None:
    """What compiles and loads a bundle's library; None for a bundle without one."""
    return None if core_of(bundle) is None else partial(HostRunner, bundle)
