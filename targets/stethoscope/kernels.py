"""Kernels: what the memory plan must know of a back end on a core.

Our kernels may write their result over a part of their input, and need no memory beside it. CMSIS-NN's read
all of the input until the end, and want a buffer; its size is what the functions `..._get_buffer_size` of
CMSIS-NN 4.0.0 return (arm_convolve_s8.c, arm_depthwise_conv_s8_opt.c).
"""

from __future__ import annotations

from dataclasses import dataclass

from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.network import Convolution, Depthwise, Layer
from targets.stethoscope.overlap import Overlap, overlap_of, pointwise

_HELIUM_CHANNELS = 124  # CH_IN_BLOCK_MVE of arm_nnsupportfunctions.h
_HELIUM_PIXELS, _PIXELS = 4, 2  # that a convolution gathers at once
_HALF_WORD = 2


@dataclass(frozen=True)
class Kernels:
    """A back end; `helium`: on a core with vectors, where CMSIS-NN needs other buffers."""

    back_end: BackEnd = BackEnd.OWN
    helium: bool = False

    def overlap(self, layer: Layer) -> Overlap:
        """How far a result may lie over its source."""
        if self._calls_cmsis(layer):
            return Overlap(layer.result.size_bytes, layer.source.size_bytes)
        return overlap_of(layer)

    def scratch_bytes(self, layer: Layer) -> int:
        """Size of the buffer that a layer wants while it runs."""
        if not self._calls_cmsis(layer):
            return 0
        if isinstance(layer, Depthwise):
            return self._depthwise(layer)
        assert isinstance(layer, Convolution)
        if pointwise(layer.window):
            return 0
        numbers = int(layer.weights[0].size)
        if self.helium:
            return _HELIUM_PIXELS * -(-numbers // 8) * 8
        return _PIXELS * numbers * _HALF_WORD

    def _calls_cmsis(self, layer: Layer) -> bool:
        return self.back_end is BackEnd.CMSIS_NN and isinstance(layer, Convolution | Depthwise)

    def _depthwise(self, layer: Depthwise) -> int:
        height, width, channels = map(int, layer.weights.shape)
        if self.helium:
            return _HELIUM_PIXELS * _HELIUM_CHANNELS * height * width
        return channels * height * width * _HALF_WORD
