"""acula_network.c for CMSIS-NN: one call of its convolutions for each layer that is one."""

from __future__ import annotations

import numpy as np

from targets.stethoscope.network import Convolution, Depthwise
from targets.stethoscope.network_c import Writer, inputs_of


class CmsisWriter(Writer):
    """Convolutions by CMSIS-NN: weights as they are, biases as they were trained, and a buffer."""

    _include = "acula_cmsis.h"
    _folds = False

    def _convolution(self, step: int, layer: Convolution) -> str:
        return self._call("convolution", step, layer)

    def _depthwise(self, step: int, layer: Depthwise) -> str:
        return self._call("depthwise", step, layer)

    def _call(self, name: str, step: int, layer: Convolution | Depthwise) -> str:
        sums = layer.weights.sum(inputs_of(layer), dtype=np.int64)
        biases = layer.biases + layer.source.grid.zero_point * sums
        self._weighted(step, layer, layer.weights, biases.astype(np.int32))
        self._window(step, layer, 0, False)
        scratch = f"arena + {self._plan.scratch(step)}"
        return f"acula_cmsis_{name}(&shape_{step}, {self._weights(step)}, {scratch}, {self._ends(layer)})"
