"""Reader of CTranslate2 model files (`model.bin`), for weights that are published in that form.

The layout is that of CTranslate2's `ModelSpec` serialiser, binary version 6, little-endian: version,
name and revision of the specification, the variables (name, rank, dimensions, type, bytes), and
aliases, names that stand for another variable. A string is its length with a final zero byte, then
the bytes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from acula_edge.errors import ArtifactError

VERSION = 6
# CTranslate2's numbers of the element types.
_DTYPES = {
    0: torch.float32,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.float16,
    5: torch.bfloat16,
}


@dataclass(frozen=True)
class CTranslate2Model:
    """What a file holds: the specification's name and revision, and a tensor by each name and alias."""

    specification: str
    revision: int
    tensors: dict[str, Tensor]


def read_model(path: Path) -> CTranslate2Model:
    """Everything in the CTranslate2 file `path`, in its own element types.

    Raises ArtifactError, naming the file and the variable, if it is cut short, has bytes left over, is of
    another binary version, or contradicts itself.
    """
    try:
        reader = _Reader(path, path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path} can not be read ({error.strerror}); add the weights again") from None
    version = reader.number("<I", "its version")
    if version != VERSION:
        raise reader.error(f"has binary version {version}, expected {VERSION}")
    specification = reader.string("its specification")
    revision = reader.number("<I", "its revision")
    tensors = dict(reader.variable() for _ in range(reader.number("<I", "its variables")))
    for _ in range(reader.number("<I", "its aliases")):
        alias, name = reader.string("an alias"), reader.string("an alias")
        if name not in tensors:
            raise reader.error(f"gives {alias} the value of {name}, which it has not")
        tensors[alias] = tensors[name]
    reader.finish()
    return CTranslate2Model(specification, revision, tensors)


class _Reader:
    """A place in the bytes of a file."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = memoryview(content)
        self._start = 0

    def error(self, what: str) -> ArtifactError:
        return ArtifactError(f"{self._path} {what}; add the weights again")

    def take(self, size_bytes: int, of: str) -> memoryview:
        stop = self._start + size_bytes
        if stop > len(self._content):
            raise self.error(f"ends within {of} (byte {len(self._content)}, expected {stop} at least)")
        taken = self._content[self._start : stop]
        self._start = stop
        return taken

    def number(self, form: str, of: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form), of))[0]
        return value

    def string(self, of: str) -> str:
        raw = bytes(self.take(self.number("<H", of), of))
        try:
            if not raw.endswith(b"\0"):
                raise ValueError
            return raw[:-1].decode("utf-8")
        except ValueError:
            raise self.error(f"has a damaged name in {of} (before byte {self._start})") from None

    def variable(self) -> tuple[str, Tensor]:
        """Name and tensor of the variable that comes next; the tensor has memory of its own."""
        name = self.string("a variable's name")
        rank = self.number("<B", name)
        shape = [self.number("<I", name) for _ in range(rank)]
        kind = self.number("<B", name)
        size_bytes = self.number("<I", name)
        if kind not in _DTYPES:
            raise self.error(f"has {name} in element type {kind}, known are 0 to {max(_DTYPES)}")
        dtype = _DTYPES[kind]
        if size_bytes != math.prod(shape) * dtype.itemsize:
            raise self.error(f"has {name} of shape {shape} and {dtype} in {size_bytes} bytes")
        raw = bytearray(self.take(size_bytes, name))
        flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        return name, flat.reshape(shape)

    def finish(self) -> None:
        if self._start != len(self._content):
            raise self.error(f"has {len(self._content) - self._start} bytes after its end")
