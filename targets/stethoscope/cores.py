"""Cores: the microcontrollers that a bundle can be built for, and the emulated board of each."""

from __future__ import annotations

from dataclasses import dataclass

APT = "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
COMPILER, EMULATOR, SIZE = "arm-none-eabi-gcc", "qemu-system-arm", "arm-none-eabi-size"
# -ffp-contract=off: fused products would round the front end in another way than the golden vectors.
CFLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Werror")
# Sources that are not ours: their folder, and their flags beside ours. Their warnings are not shown.
VENDORED, VENDORED_CFLAGS = "cmsis_nn", ("-O3", "-w")
# On a host CMSIS-NN must not look for the instructions of a Cortex-M.
HOST_CFLAGS = ("-D__GNUC_PYTHON__", "-D__RESTRICT=__restrict")


@dataclass(frozen=True)
class Core:
    """A core with its compiler flags, and a board that QEMU emulates.

    `code` and `data` are the addresses of memories that hold `code_kib` and `data_kib`. `clock_hz` is that of
    the board's SysTick. `helium`: it has vectors.
    """

    name: str
    title: str
    flags: tuple[str, ...]
    machine: str
    code: int
    code_kib: int
    data: int
    data_kib: int
    clock_hz: int
    helium: bool = False


CORES: dict[str, Core] = {
    core.name: core
    for core in (
        Core(
            name="m4",
            title="Cortex-M4",
            flags=("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
            machine="mps2-an386",
            code=0x00000000,
            code_kib=4096,
            data=0x20000000,
            data_kib=4096,
            clock_hz=25_000_000,
        ),
        Core(
            name="m7",
            title="Cortex-M7",
            flags=("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
            machine="mps2-an500",
            code=0x00000000,
            code_kib=4096,
            data=0x20000000,
            data_kib=4096,
            clock_hz=25_000_000,
        ),
        Core(
            name="m33",
            title="Cortex-M33",
            flags=("-mcpu=cortex-m33", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
            machine="mps2-an505",
            code=0x10000000,
            code_kib=4096,
            data=0x38000000,
            data_kib=2048,
            clock_hz=20_000_000,
        ),
        Core(
            name="m55",
            title="Cortex-M55",
            flags=("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
            machine="mps3-an547",
            code=0x10000000,
            code_kib=512,
            data=0x30000000,
            data_kib=512,
            clock_hz=32_000_000,
            helium=True,
        ),
    )
}
