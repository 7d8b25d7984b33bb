"""head.bin: what is written is read, and any other bytes are refused in a sentence."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acula_edge.errors import ArtifactError
from distill.adapt.head_file import MAGIC, Head, open_envelope, read_head, write_head
from distill.adapt.layer import CHANNEL_AXIS, FloatLayer, Grid, Kind, Layer, Site
from distill.adapt.requantise import requantise

GRIDS = st.builds(Grid, st.floats(2.0**-13, 8, width=32), st.integers(-128, 127))


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    kind = draw(st.sampled_from(list(Kind)))
    size = st.integers(1, 4)
    shapes = {
        Kind.CONVOLUTION: (draw(size), 1, 1, draw(size)),
        Kind.DEPTHWISE: (1, 3, 3, draw(size)),
        Kind.FULLY_CONNECTED: (draw(size), draw(size)),
        Kind.ADD: (draw(size),),
    }
    site = Site(kind, shapes[kind], draw(GRIDS), draw(GRIDS), (-128, 127))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    axis = CHANNEL_AXIS[kind]
    biases = 0 if axis is None or not draw(st.booleans()) else site.shape[axis]
    weights, bias = (rng.normal(size=shape).astype(np.float32) for shape in (site.shape, (biases,)))
    return requantise(FloatLayer(kind, weights, bias), site)


heads = st.builds(
    Head,
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.lists(layers(), min_size=1, max_size=5).map(tuple),
)


def _sign(signed: bytes) -> bytes:
    return bytes(64 - len(signed) % 2)[:64]


@given(heads, st.sampled_from([None, _sign]))
def test_a_head_comes_back_as_it_was(head: Head, sign: Callable[[bytes], bytes] | None) -> None:
    content = write_head(head, sign)
    envelope = open_envelope(content)
    assert envelope.signed + envelope.signature == content
    assert len(envelope.signature) == (64 if sign else 0)
    found = read_head(envelope.payload)
    assert found.bundle == head.bundle
    for one, other in zip(found.layers, head.layers, strict=True):
        assert one.site == other.site
        assert one.weight_zero_point == other.weight_zero_point
        for name in ("weights", "weight_scales", "biases", "float_biases", "multipliers", "shifts"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(max_examples=300)
@given(heads, st.data())
def test_changed_bytes_never_crash_the_reader(head: Head, data: st.DataObject) -> None:
    """Even under a right checksum, which an attacker can make: only ArtifactError, or a head that is one."""
    payload = bytearray(open_envelope(write_head(head, None)).payload)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 8))
    payload = payload[: len(payload) - cut]
    try:
        found = read_head(bytes(payload))
    except ArtifactError:
        return
    again = open_envelope(write_head(found, None)).payload
    assert again == bytes(payload)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_a_sentence(content: bytes) -> None:
    for whole in (content, MAGIC + content):
        with pytest.raises(ArtifactError, match="this is no head that can be used"):
            read_head(open_envelope(whole).payload)


@pytest.fixture(scope="module")
def content() -> bytes:
    rng = np.random.default_rng(0)
    site = Site(Kind.FULLY_CONNECTED, (3, 4), Grid(0.5, 3), Grid(0.25, -7), (-128, 127))
    weights, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (3,)))
    return write_head(Head("ab" * 32, (requantise(FloatLayer(site.kind, weights, bias), site),)), None)


def test_every_flipped_bit_of_the_payload_is_found(content: bytes) -> None:
    for place in range(4, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        with pytest.raises(ArtifactError):
            open_envelope(bytes(damaged))


def test_every_cut_is_found(content: bytes) -> None:
    for length in range(len(content)):
        with pytest.raises(ArtifactError):
            open_envelope(content[:length])
    with pytest.raises(ArtifactError, match="it is cut or longer"):
        open_envelope(content + b"\0")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        (4, 2, "format version is 2"),
        (16, 63, "signature has 63 bytes"),
    ],
)
def test_header_fields_are_checked(content: bytes, field: int, value: int, sentence: str) -> None:
    changed = bytearray(content)
    struct.pack_into("<I", changed, field, value)
    with pytest.raises(ArtifactError, match=sentence):
        open_envelope(bytes(changed))


def test_the_layout_is_the_documented_one(content: bytes) -> None:
    """Read by the offsets of the docstring alone, as C would."""
    magic, version, size, checksum, signature = struct.unpack_from("<4s4I", content)
    assert (magic, version, signature, size) == (b"AEHD", 1, 0, len(content) - 20)
    payload = content[20:]
    assert checksum == zlib.crc32(payload)
    digest, count = struct.unpack_from("<32sI", payload)
    assert (digest.hex(), count) == ("ab" * 32, 1)
    kind, *shape = struct.unpack_from("<5I", payload, 36)
    assert (kind, shape) == (3, [3, 4, 1, 1])
    assert struct.unpack_from("<ififiii", payload, 56) == (0, 0.5, 3, 0.25, -7, -128, 127)
    places = struct.unpack_from("<12I", payload, 84)
    assert places[0] == 36 + 96
    assert [place % 4 for place in places[::2]] == [0] * 6
    assert places[1::2] == (12, 3, 3, 3, 3, 3)
    assert len(payload) == places[10] + 4 * 3
