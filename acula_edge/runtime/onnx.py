"""OnnxRunner: .onnx files through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError
from acula_edge.runtime.runner import Floats, GraphInput, Outputs, damaged, run_each

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(int16)": np.dtype(np.int16),
}


class OnnxRunner:
    """A loaded .onnx with one input, and outputs named embedding and logits."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's error classes share no other base
            raise damaged(path, error) from None
        inputs = self._session.get_inputs()
        names = {output.name for output in self._session.get_outputs()}
        if len(inputs) != 1 or names != {"embedding", "logits"} or inputs[0].type not in _DTYPES:
            raise ArtifactError(f"{path} is not a model of this program: its outputs are {sorted(names)}")
        self._path = path
        self._name = inputs[0].name
        self._expected = GraphInput(tuple(inputs[0].shape), _DTYPES[inputs[0].type])

    def run(self, batch: NDArray[Any]) -> Outputs:
        """See Runner."""
        return run_each(self._path, self._expected, self._infer, batch)

    def _infer(self, item: NDArray[Any]) -> tuple[Floats, Floats]:
        embedding, logits = self._session.run(["embedding", "logits"], {self._name: item})
        return embedding, logits
