"""TfliteRunner: .tflite files through LiteRT's interpreter; needs numpy only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Floats, GraphInput, Outputs, damaged, run_each


class TfliteRunner:
    """A loaded .tflite with one input, and outputs named embedding and logits."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._path = path
        with divert_output():
            try:
                self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
                signature = self._interpreter.get_signature_runner()
                inputs, outputs = signature.get_input_details(), signature.get_output_details()
            except (ValueError, RuntimeError) as error:
                raise damaged(path, error) from None
        if len(inputs) != 1 or set(outputs) != {"embedding", "logits"}:
            raise ArtifactError(f"{path} is not a model of this program: its outputs are {sorted(outputs)}")
        (source,) = inputs.values()
        self._input = source["index"]
        self._expected = GraphInput(tuple(int(size) for size in source["shape"]), np.dtype(source["dtype"]))
        self._outputs = (outputs["embedding"]["index"], outputs["logits"]["index"])

    def run(self, batch: NDArray[Any]) -> Outputs:
        """See Runner."""
        return run_each(self._path, self._expected, self._infer, batch)

    def _infer(self, item: NDArray[Any]) -> tuple[Floats, Floats]:
        self._interpreter.set_tensor(self._input, item)
        self._interpreter.invoke()
        embedding, logits = self._outputs
        return self._interpreter.get_tensor(embedding), self._interpreter.get_tensor(logits)
