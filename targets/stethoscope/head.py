"""Head: the last layers, whose weights a head.bin of on-device distillation replaces.

Its format is told in `distill/adapt/head_file.py`: convolutions of the last block, the product of the
embedding, its offset, the task heads, each with the grids that it stands between.
"""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from targets.stethoscope.network import Addition, Convolution, Dense, Depthwise, Layer, Network, Value
from targets.stethoscope.overlap import row_bytes

_CONVOLUTIONS = 3  # most that the last block has
_DIMENSIONS = 4
# Operators by their number in head.bin; 0 matches none.
_KINDS: dict[type[Layer], int] = {Convolution: 1, Depthwise: 2, Dense: 3, Addition: 4}


def head_of(network: Network) -> tuple[int, ...]:
    """Steps of the layers that a head may replace, in the order of head.bin."""
    steps = range(len(network.layers))
    convolutions = [step for step in steps if isinstance(network.layers[step], Convolution | Depthwise)]
    products = [step for step in steps if isinstance(network.layers[step], Dense)]
    offsets = [step for step in steps if _is_offset(network.layers[step])]
    products.sort(key=lambda step: network.layers[step].result.name == network.logits.name)
    return (*convolutions[-_CONVOLUTIONS:], *products[:1], *offsets, *products[1:])


def biases_of(layer: Layer) -> int:
    """Biases that a new layer needs room for."""
    return layer.biases.size if isinstance(layer, Convolution | Depthwise | Dense) else 0


def head_tables(network: Network, head: tuple[int, ...], folds: bool) -> str:
    """C tables of the head's steps and sites; `folds`: biases of convolutions hold the zero point's part."""
    sites = "".join(_site(network.layers[step], folds) for step in head)
    steps = ", ".join(map(str, head))
    return (
        f"\nconst int32_t acula_head_steps[ACULA_HEAD_LAYERS] = {{{steps}}};\n\n"
        f"const acula_site_t acula_head_sites[ACULA_HEAD_LAYERS] = {{\n{sites}}};\n"
    )


def _is_offset(layer: Layer) -> bool:
    return isinstance(layer, Addition) and not isinstance(layer.other, Value)


def _site(layer: Layer, folds: bool) -> str:
    shape = _shape(layer)
    grids = [
        word
        for grid in (layer.source.grid, layer.result.grid)
        for word in (struct.unpack("<I", struct.pack("<f", grid.scale))[0], _unsigned(grid.zero_point))
    ]
    clamp = [_unsigned(bound) for bound in layer.scaling.clamp]
    # Rows that are filled up to whole words can not be read from a head in place.
    padded = folds and isinstance(layer, Convolution) and row_bytes(layer) != layer.weights[0].size
    kind = 0 if padded else _KINDS[type(layer)]
    words = [kind, *shape, *[1] * (_DIMENSIONS - len(shape))]
    channels = 1 if isinstance(layer, Addition) else biases_of(layer)
    folded = int(folds or isinstance(layer, Dense))
    first, second = (", ".join(f"{word}u" for word in part) for part in (words, grids + clamp))
    return f"    {{{{{first}}}, {{{second}}}, {channels}, {prod(shape)}, {biases_of(layer)}, {folded}}},\n"


def _shape(layer: Layer) -> tuple[int, ...]:
    """As in a .tflite: (out, h, w, in), (1, h, w, channels), (out, in) or (n,)."""
    if isinstance(layer, Depthwise):
        return (1, *layer.weights.shape)
    if isinstance(layer, Convolution | Dense):
        return layer.weights.shape
    return (layer.result.size_bytes,)


def _unsigned(number: int) -> int:
    return int(np.int32(number).astype(np.uint32))
