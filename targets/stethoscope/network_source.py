"""NetworkSource: acula_network.c for one of the back ends, and what the library must know of it."""

from __future__ import annotations

from dataclasses import dataclass

from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.head import biases_of, head_of
from targets.stethoscope.hops import Hops
from targets.stethoscope.memory import MemoryPlan
from targets.stethoscope.network_c import Writer
from targets.stethoscope.network_cmsis import CmsisWriter

_WRITERS: dict[BackEnd, type[Writer]] = {BackEnd.OWN: Writer, BackEnd.CMSIS_NN: CmsisWriter}


@dataclass(frozen=True)
class NetworkSource:
    """The file, and what the rest of the library must know of it.

    `head` are the steps whose weights a device may replace; `head_biases` the channels of those with biases;
    `weights_crc` is the CRC-32 of all constants in the order of the file's table.
    """

    text: str
    head: tuple[int, ...]
    head_biases: int
    weights_crc: int
    constant_bytes: int


def network_source(hops: Hops, plan: MemoryPlan, back_end: BackEnd) -> NetworkSource:
    """Generate. Raises ArtifactError for a layer that the kernels can not hold."""
    network = hops.network
    writer = _WRITERS[back_end](hops, plan)
    text = writer.text()
    head = head_of(network)
    biases = sum(biases_of(network.layers[step]) for step in head)
    return NetworkSource(text, head, biases, writer.crc, writer.constant_bytes)
