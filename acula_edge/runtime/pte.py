"""PteRunner: .pte files through ExecuTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError, UsageError
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Floats, GraphInput, Outputs, damaged, run_each

# ScalarType numbers of ExecuTorch's flatbuffer schema (exir/schema.py).
_DTYPES: dict[int, np.dtype[Any]] = {2: np.dtype(np.int16), 6: np.dtype(np.float32)}

_loaded = False  # whether this process has loaded a method


class PteRunner:
    """A loaded .pte with one input, and the outputs embedding and logits in this order.

    ExecuTorch's thread pool belongs to the process and can not be changed once a method is loaded:
    UsageError for a second runner with another number of threads.
    """

    def __init__(self, path: Path, threads: int) -> None:
        with divert_output():
            # The extension module itself: executorch.runtime would import the exporter, 3 s more.
            import executorch.kernels.quantized  # noqa: F401 (registers the INT8 kernels)
            import torch
            from executorch.extension.pybindings import _C

            set_threads(path, threads)
            try:
                self._program = _C._load_program(str(path))
                self._method = self._program.load_method("forward")
                meta = self._method.method_meta()
            except RuntimeError as error:
                raise damaged(path, error) from None
        if meta.num_inputs() != 1 or meta.num_outputs() != 2:
            raise ArtifactError(f"{path} is not a model of this program: it has {meta.num_outputs()} outputs")
        source = meta.input_tensor_meta(0)
        self._path = path
        self._tensor = torch.from_numpy
        self._expected = GraphInput(tuple(source.sizes()), _DTYPES[source.dtype()])

    def run(self, batch: NDArray[Any]) -> Outputs:
        """See Runner."""
        return run_each(self._path, self._expected, self._infer, batch)

    def _infer(self, item: NDArray[Any]) -> tuple[Floats, Floats]:
        embedding, logits = self._method([self._tensor(item)])
        # The outputs lie in memory that the next call writes to.
        return embedding.numpy().copy(), logits.numpy().copy()


def set_threads(path: Path, threads: int) -> None:
    """Give the process's thread pool its size, before the method of `path` is loaded.

    Raises UsageError if a method is loaded already and the pool has another size.
    """
    global _loaded
    from executorch.extension.pybindings import _C

    pool = _C._threadpool_get_thread_count()
    if pool != threads and _loaded:
        raise UsageError(
            f"{path.name}: .pte files run with {pool} threads in this process, not {threads}; "
            "start another process"
        )
    if pool != threads:
        _C._unsafe_reset_threadpool(threads)
    _loaded = True
