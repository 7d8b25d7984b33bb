"""A head for the usual student: its last layers with noise, and the .tflite that holds them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import torch

from acula_edge.artifact import Artifact
from acula_edge.students.store import load_student
from distill.adapt.head_file import Head, write_head
from distill.adapt.requantise import requantise
from distill.adapt.tail import Tail
from distill.adapt.tflite_file import TfliteFile

HEADER_BYTES = 20


def learned_head(bundle: Artifact, out: Path) -> bytes:
    """head.bin, as a device would learn it; the .tflite with it goes to `out`."""
    student = load_student(bundle)
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in (*student.trunk[-1].parameters(), student.embedding.weight, student.head.weight):
            weights += 0.3 * weights.std(correction=0) * torch.randn(weights.shape, generator=drawn)
    floats = Tail(student).layers()
    file = TfliteFile(bundle.file("model.tflite"), [layer.kind for layer in floats])
    layers = [requantise(layer, site) for layer, site in zip(floats, file.sites, strict=True)]
    out.write_bytes(file.patched(layers))
    return write_head(Head("0" * 64, tuple(layers)), None)


def with_word(head: bytes, offset: int, word: int) -> bytes:
    """The head with another word in its payload, and the checksum that fits it."""
    payload = bytearray(head[HEADER_BYTES:])
    struct.pack_into("<I", payload, offset, word)
    header = bytearray(head[:HEADER_BYTES])
    struct.pack_into("<I", header, 12, zlib.crc32(payload))
    return bytes(header + payload)
