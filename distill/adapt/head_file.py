"""head.bin: the layers that a device learned, for the firmware and for the bundle of the phone.

Little-endian; every field is 4 bytes wide and stands at a multiple of 4 from the start of the file.

    offset  type      field
         0  char[4]   magic "AEHD"
         4  u32       format version, 1
         8  u32       P, bytes of the payload
        12  u32       CRC-32 of the payload (IEEE 802.3, as zlib's crc32)
        16  u32       S, bytes of the signature: 64, or 0 for a head that is not signed
        20  u8[P]     payload
    20 + P  u8[S]     Ed25519 signature (RFC 8032) of the bytes 0 to 20 + P

Payload; its offsets count from its own start:

         0  u8[32]    SHA-256 of the manifest of the bundle that the head belongs to
        32  u32       L, number of layers
        36  L records of 24 words:
              u32      kind: 1 convolution, 2 depthwise convolution, 3 fully connected, 4 addition
              u32[4]   shape of the weights as in a .tflite: (out, h, w, in), (1, h, w, channels), (out, in),
                       (n,); unused places are 1
              i32      zero point of the weights: 0 except for an addition's constant
              f32, i32 scale and zero point of the input's INT8 grid
              f32, i32 scale and zero point of the output's
              i32, i32 least and largest output step, the activation's clamp
              u32[12]  offset and count of weights (i8), weight scales (f32), biases (i32), float biases
                       (f32), multipliers (i32) and shifts (i32)
    36 + 96 L  the blocks of the layers in this order, each padded with zeros to a multiple of 4

The layers stand in the order in which they run: the convolutions of the last block, the product of the
embedding, its offset (an addition; the embedding is what comes out), the task heads (they take the
embedding before the offset). The mean over the map and everything before stay as they are.

The integers are what TFLite's reference kernels use; an addition's three multipliers are those of its
input, its constant and its output, and its left shift is 20. Float biases are what the biases round: from
them, a graph with other input grids makes its own. A reader compares the grids with those of its model and
refuses a head that differs, as it refuses any byte that the layout above does not call for.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError
from distill.adapt.layer import RANK, Grid, Kind, Layer, Site

MAGIC = b"AEHD"
VERSION = 1
SIGNATURE_BYTES = 64
_HEADER = struct.Struct("<4s4I")
_START = struct.Struct("<32sI")
_RECORD = struct.Struct("<5Iififiii12I")
_DIMENSIONS = 4
_MOST_LAYERS = 64
# The blocks of a layer, in the file's order.
_BLOCKS: tuple[tuple[str, np.dtype[Any]], ...] = (
    ("weights", np.dtype("<i1")),
    ("weight_scales", np.dtype("<f4")),
    ("biases", np.dtype("<i4")),
    ("float_biases", np.dtype("<f4")),
    ("multipliers", np.dtype("<i4")),
    ("shifts", np.dtype("<i4")),
)
_ADD_FACTORS = 3


@dataclass(frozen=True)
class Head:
    """The layers, and the digest (64 hex digits) of the bundle that they belong to."""

    bundle: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Envelope:
    """A file as read: what is signed, the payload in it, and the signature (empty: not signed)."""

    signed: bytes
    payload: bytes
    signature: bytes


def write_head(head: Head, sign: Callable[[bytes], bytes] | None) -> bytes:
    """The file of a head; `sign` gives the 64 bytes of a signature."""
    payload = _payload(head)
    size = SIGNATURE_BYTES if sign else 0
    signed = _HEADER.pack(MAGIC, VERSION, len(payload), zlib.crc32(payload), size) + payload
    return signed + (sign(signed) if sign else b"")


def open_envelope(content: bytes) -> Envelope:
    """Check all but the signature and the layers. Raises ArtifactError for any other bytes."""
    if content[:4] != MAGIC[: len(content)] or not content:
        _refuse("it does not begin as a head does")
    if len(content) < _HEADER.size:
        _refuse("it is cut short")
    _, version, size, checksum, signature_bytes = _HEADER.unpack_from(content)
    if version != VERSION:
        _refuse(f"its format version is {version}, this program reads {VERSION}")
    if signature_bytes not in (0, SIGNATURE_BYTES):
        _refuse(f"its signature has {signature_bytes} bytes, not {SIGNATURE_BYTES}")
    end = _HEADER.size + size
    if len(content) != end + signature_bytes:
        _refuse(f"it has {len(content)} bytes, its header says {end + signature_bytes}: it is cut or longer")
    payload = content[_HEADER.size : end]
    if zlib.crc32(payload) != checksum:
        _refuse("its checksum is wrong: it was damaged on its way")
    return Envelope(content[:end], payload, content[end:])


def read_head(payload: bytes) -> Head:
    """The head of a payload. Raises ArtifactError for bytes that `write_head` would not write."""
    if len(payload) < _START.size:
        _refuse("its payload is cut short")
    digest, count = _START.unpack_from(payload)
    if not 0 < count <= _MOST_LAYERS or len(payload) < _START.size + count * _RECORD.size:
        _refuse(f"its payload can not hold {count} layers")
    records = (_RECORD.unpack_from(payload, _START.size + i * _RECORD.size) for i in range(count))
    head = Head(digest.hex(), tuple(_layer(record, payload) for record in records))
    if _payload(head) != payload:
        _refuse("its layout is not that of the format")
    return head


def _payload(head: Head) -> bytes:
    records, blocks = [], bytearray()
    start = _START.size + len(head.layers) * _RECORD.size
    for layer in head.layers:
        places: list[int] = []
        for name, dtype in _BLOCKS:
            numbers: NDArray[Any] = getattr(layer, name)
            places += [start + len(blocks), numbers.size]
            blocks += numbers.astype(dtype).tobytes()
            blocks += bytes(-len(blocks) % 4)
        records.append(_record(layer, places))
    return _START.pack(bytes.fromhex(head.bundle), len(records)) + b"".join(records) + bytes(blocks)


def _record(layer: Layer, places: list[int]) -> bytes:
    site = layer.site
    shape = (*site.shape, *[1] * (_DIMENSIONS - len(site.shape)))
    grids = (site.input.scale, site.input.zero_point, site.output.scale, site.output.zero_point)
    return _RECORD.pack(site.kind, *shape, layer.weight_zero_point, *grids, *site.clamp, *places)


def _layer(record: tuple[Any, ...], payload: bytes) -> Layer:
    site, zero_point, places = _site(record), record[5], record[12:24]
    blocks: dict[str, NDArray[Any]] = {}
    for index, (name, dtype) in enumerate(_BLOCKS):
        offset, count = places[2 * index : 2 * index + 2]
        if offset + count * dtype.itemsize > len(payload):
            _refuse("a layer reaches beyond its end")
        blocks[name] = np.frombuffer(payload, dtype, count, offset).astype(dtype.newbyteorder("="))
    layer = Layer(site=site, weight_zero_point=zero_point, **_shaped(blocks, site))
    _require_sound(layer)
    return layer


def _site(record: tuple[Any, ...]) -> Site:
    if record[0] not in set(Kind):
        _refuse(f"it has a layer of kind {record[0]}")
    kind = Kind(record[0])
    shape = tuple(record[1 : 1 + RANK[kind]])
    input_scale, input_zero, output_scale, output_zero, low, high = record[6:12]
    if not all(math.isfinite(scale) and scale > 0 for scale in (input_scale, output_scale)):
        _refuse("a scale is not a positive number")
    return Site(kind, shape, Grid(input_scale, input_zero), Grid(output_scale, output_zero), (low, high))


def _shaped(blocks: dict[str, NDArray[Any]], site: Site) -> dict[str, NDArray[Any]]:
    if blocks["weights"].size != math.prod(site.shape):
        _refuse(f"a layer of shape {site.shape} holds {blocks['weights'].size} weights")
    return {**blocks, "weights": blocks["weights"].reshape(site.shape)}


def _require_sound(layer: Layer) -> None:
    site, factors = layer.site, layer.site.channels
    if site.kind is Kind.ADD:
        factors = _ADD_FACTORS
    counts = {"weight_scales": site.channels, "multipliers": factors, "shifts": factors}
    for name, count in counts.items():
        if getattr(layer, name).size != count:
            _refuse(f"a layer with {site.channels} channels holds {getattr(layer, name).size} {name}")
    if layer.biases.size not in (0, site.channels) or layer.float_biases.size != layer.biases.size:
        _refuse(f"a layer with {site.channels} channels holds {layer.biases.size} biases")
    numbers = np.concatenate([layer.weight_scales, layer.float_biases])
    if not np.isfinite(numbers).all() or layer.weight_scales.min(initial=1.0) <= 0:
        _refuse("a scale or a bias is not a usable number")


def _refuse(reason: str) -> NoReturn:
    raise ArtifactError(f"this is no head that can be used: {reason}; ask for it again")
