"""acula_network.c: the weights of a network, and one call of a kernel for each layer."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError
from targets.stethoscope.c_text import array, struct
from targets.stethoscope.head import head_of, head_tables
from targets.stethoscope.hops import Hops
from targets.stethoscope.memory import MemoryPlan
from targets.stethoscope.network import (
    Addition,
    Convolution,
    Dense,
    Depthwise,
    Layer,
    Mean,
    Scaling,
    Value,
)
from targets.stethoscope.overlap import PATCHES_BYTES, block_of, direct, row_bytes

MAX_SIDE = 5  # of acula_kernels.h
_MOST_SUM = 2**30  # the kernels double a sum


class Writer:
    """Writes the file for our own kernels. Raises ArtifactError for a layer that they can not hold."""

    _include = "acula_kernels.h"
    _folds = True  # the biases of convolutions hold what the input's zero point adds

    def __init__(self, hops: Hops, plan: MemoryPlan) -> None:
        self._hops, self._plan = hops, plan
        network = self._network = hops.network
        self._head = head_of(network)
        self._parts: list[str] = []
        self._blobs: list[str] = []
        self._zeros: dict[int, int] = {}  # zero point -> most channels that need it
        self.crc = 0
        self.constant_bytes = 0

    def text(self) -> str:
        steps = [self._layer(step, layer) for step, layer in enumerate(self._network.layers)]
        for zero, channels in self._zeros.items():
            self._constant(_zeros_name(zero), np.full(channels, zero, np.int8))
        return (
            f'#include "acula_network.h"\n\n#include "{self._include}"\n\n'
            + "\n".join(self._parts)
            + self._table()
            + self._blob_table()
            + head_tables(self._network, self._head, self._folds)
            + self._pasts()
            + _STEP.format(cases="".join(steps))
        )

    def _layer(self, step: int, layer: Layer) -> str:
        """Constants and shape of a layer; its case in the switch."""
        rules: dict[type[Layer], Callable[[int, Any], str]] = {
            Convolution: self._convolution,
            Depthwise: self._depthwise,
            Dense: self._dense,
            Mean: self._mean,
            Addition: self._addition,
        }
        call = rules[type(layer)](step, layer)
        return f"    case {step}:\n        {call};\n        break;\n"

    def _convolution(self, step: int, layer: Convolution) -> str:
        """Lines of the kernel are filled up to whole words, so that a patch is gathered by words."""
        if block_of(layer) == 0:
            _refuse(layer, f"reads {row_bytes(layer)} numbers at once, {PATCHES_BYTES} at most")
        outputs, height = layer.weights.shape[:2]
        lines = layer.weights.reshape(outputs, height, -1)
        padded = np.zeros((outputs, height, row_bytes(layer) // height), np.int8)
        padded[:, :, : lines.shape[2]] = lines
        self._weighted(step, layer, padded, layer.biases)
        self._window(step, layer, row_bytes(layer), direct(layer))
        return f"acula_convolution(&shape_{step}, {self._weights(step)}, {self._ends(layer)})"

    def _depthwise(self, step: int, layer: Depthwise) -> str:
        self._weighted(step, layer, layer.weights, layer.biases)
        self._window(step, layer, 0, False)
        zero = layer.source.grid.zero_point
        self._zeros[zero] = max(self._zeros.get(zero, 0), layer.source.shape[2])
        return (
            f"acula_depthwise(&shape_{step}, {self._weights(step)}, {_zeros_name(zero)}, {self._ends(layer)})"
        )

    def _dense(self, step: int, layer: Dense) -> str:
        self._weighted(step, layer, layer.weights, layer.biases)
        outputs, inputs = layer.weights.shape
        self._shape("acula_dense_t", step, layer, inputs=inputs, outputs=outputs, **_result(layer))
        return f"acula_dense(&shape_{step}, {self._weights(step)}, {self._ends(layer)})"

    def _mean(self, step: int, layer: Mean) -> str:
        self._shape(
            "acula_mean_t",
            step,
            layer,
            pixels=layer.source.shape[0] * layer.source.shape[1],
            channels=layer.source.shape[2],
            in_zero=layer.source.grid.zero_point,
            out_zero=layer.result.grid.zero_point,
            multiplier=int(layer.scaling.multipliers[0]),
            shift=int(layer.scaling.shifts[0]),
        )
        return f"acula_mean(&shape_{step}, memory->hops, memory->sums, {self._ends(layer)})"

    def _addition(self, step: int, layer: Addition) -> str:
        self._title(step, layer)
        second = f"({self._weights(step)})->weights"
        if isinstance(layer.other, Value):
            second = self._at(layer.other)
        else:
            self._constant(f"weights_{step}", layer.other)
        self._scaling(step, layer.scaling)
        fields = {"count": layer.result.size_bytes, "first_zero": layer.source.grid.zero_point}
        self._parts.append(struct("acula_add_t", f"shape_{step}", {**fields, **_result(layer)}))
        first, made = self._at(layer.source), self._at(layer.result)
        return f"acula_add(&shape_{step}, {self._weights(step)}, {first}, {second}, {made})"

    def _weighted(
        self,
        step: int,
        layer: Convolution | Depthwise | Dense,
        stored: NDArray[np.int8],
        biases: NDArray[np.int32],
    ) -> None:
        """Weights, biases and factors; a sum may not outgrow what the kernels can double."""
        sizes = np.abs(layer.weights.astype(np.int64)).sum(inputs_of(layer))
        most = np.abs(layer.biases.astype(np.int64)) + 128 * sizes
        if (most << np.maximum(layer.scaling.shifts, 0)).max() >= _MOST_SUM:
            _refuse(layer, "may sum up to more than 30 bits")
        self._title(step, layer)
        self._constant(f"weights_{step}", stored)
        self._constant(f"biases_{step}", biases)
        self._scaling(step, layer.scaling)

    def _window(self, step: int, layer: Convolution | Depthwise, row: int, direct: bool) -> None:
        (in_height, in_width, in_channels), window = layer.source.shape, layer.window
        if max(window.kernel) > MAX_SIDE:
            _refuse(layer, f"has a kernel of {max(window.kernel)}, {MAX_SIDE} at most")
        out_height, out_width, out_channels = layer.result.shape
        fields = {
            "in_height": in_height,
            "in_width": in_width,
            "in_channels": in_channels,
            "out_height": out_height,
            "out_width": out_width,
            "out_channels": out_channels,
            "kernel_height": window.kernel[0],
            "kernel_width": window.kernel[1],
            "stride_height": window.stride[0],
            "stride_width": window.stride[1],
            "pad_height": window.before[0],
            "pad_width": window.before[1],
            "row_bytes": row,
            "line_bytes": row // window.kernel[0],
            "in_zero": layer.source.grid.zero_point,
            **_result(layer),
            "block": block_of(layer),
            "direct": direct,
            "backwards": self._plan.backwards[step],
        }
        self._parts.append(struct("acula_window_t", f"shape_{step}", fields))

    def _shape(self, kind: str, step: int, layer: Layer, **fields: object) -> None:
        if isinstance(layer, Mean):
            self._title(step, layer)
        self._parts.append(struct(kind, f"shape_{step}", fields))

    def _title(self, step: int, layer: Layer) -> None:
        shapes = " -> ".join(" x ".join(map(str, value.shape)) for value in (layer.source, layer.result))
        self._parts.append(f"/* {step}: {type(layer).__name__.lower()}, {shapes} */\n")

    def _scaling(self, step: int, scaling: Scaling) -> None:
        self._constant(f"multipliers_{step}", scaling.multipliers)
        self._constant(f"shifts_{step}", scaling.shifts)

    def _constant(self, name: str, numbers: NDArray[Any]) -> None:
        self._parts.append(array(name, numbers))
        raw = numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
        self.crc = zlib.crc32(raw, self.crc)
        self.constant_bytes += len(raw)
        self._blobs.append(f"    {{{name}, sizeof {name}}},\n")

    def _weights(self, step: int) -> str:
        if step in self._head:
            return f"&head[{self._head.index(step)}]"
        return f"&acula_network_weights[{step}]"

    def _ends(self, layer: Layer) -> str:
        return f"{self._at(layer.source)}, {self._at(layer.result)}"

    def _at(self, value: Value) -> str:
        return f"arena + {self._plan.offset(value)}"

    def _pasts(self) -> str:
        """Where rows stay in memory from hop to hop; an empty row ends the table, as C has no empty ones."""
        rows = []
        for place in self._plan.places:
            past = self._hops.past.get(place.value.name, 0)
            if past:
                height, zero = place.value.shape[0], place.value.grid.zero_point
                row = place.value.size_bytes // height
                rows.append(f"{{{place.offset}, {past * row}, {(height - past) * row}, {zero}}}")
        count = f"const int32_t acula_past_count = {len(rows)};\n"
        table = "".join(f"    {row},\n" for row in (*rows, "{0, 0, 0, 0}"))
        return f"\n{count}\nconst acula_past_t acula_pasts[] = {{\n{table}}};\n"

    def _table(self) -> str:
        rows = "".join(_row(step, layer) for step, layer in enumerate(self._network.layers))
        return f"\nconst acula_weights_t acula_network_weights[ACULA_STEPS] = {{\n{rows}}};\n"

    def _blob_table(self) -> str:
        return (
            f"\nconst acula_constant_t acula_network_constants[] = {{\n{''.join(self._blobs)}}};\n\n"
            f"const int32_t acula_network_constant_count = {len(self._blobs)};\n"
        )


_STEP = """
void acula_network_step(int32_t step, const acula_weights_t *head, acula_memory_t *memory)
{{
    int8_t *arena = memory->arena.bytes;
    switch (step) {{
{cases}    default:
        break;
    }}
}}
"""


def _row(step: int, layer: Layer) -> str:
    factors = f"multipliers_{step}, shifts_{step}"
    if isinstance(layer, Mean):
        return "    {0},\n"
    if isinstance(layer, Addition):
        constant = "0" if isinstance(layer.other, Value) else f"weights_{step}"
        return f"    {{{constant}, 0, {factors}, {layer.other_zero_point}}},\n"
    return f"    {{weights_{step}, biases_{step}, {factors}, 0}},\n"


def inputs_of(layer: Convolution | Depthwise | Dense) -> tuple[int, ...]:
    """The axes of the weights that a sum runs over."""
    return (0, 1) if isinstance(layer, Depthwise) else tuple(range(1, layer.weights.ndim))


def _result(layer: Layer) -> dict[str, int]:
    low, high = layer.scaling.clamp
    return {"out_zero": layer.result.grid.zero_point, "low": low, "high": high}


def _zeros_name(zero: int) -> str:
    return f"zeros_{'m' if zero < 0 else ''}{abs(zero)}"


def _refuse(layer: Layer, reason: str) -> None:
    raise ArtifactError(
        f"the layer {layer.name} {reason}; the firmware can not be generated from this student"
    )
