"""NPU: the Ethos-U processors that a bundle can be compiled for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Npu:
    """A processor by its name in Vela, and the system around it that Vela's estimate supposes.

    `system` and `memory` are names in Vela's own Arm/vela.ini: clock, bandwidths and latencies, and where
    weights and maps lie.
    """

    name: str
    title: str
    accelerator: str
    system: str
    memory: str = "Shared_Sram"  # weights in flash, maps in the SRAM that the processor shares with the core


NPUS: dict[str, Npu] = {
    npu.name: npu
    for npu in (
        Npu("ethos-u55-32", "Ethos-U55-32", "ethos-u55-32", "Ethos_U55_Deep_Embedded"),
        Npu("ethos-u55-128", "Ethos-U55-128", "ethos-u55-128", "Ethos_U55_High_End_Embedded"),
        Npu("ethos-u55-256", "Ethos-U55-256", "ethos-u55-256", "Ethos_U55_High_End_Embedded"),
        Npu("ethos-u65-256", "Ethos-U65-256", "ethos-u65-256", "Ethos_U65_Embedded"),
        Npu("ethos-u85-256", "Ethos-U85-256", "ethos-u85-256", "Ethos_U85_SYS_Flash_High"),
    )
}
