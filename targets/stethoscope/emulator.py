"""Emulator: the library compiled for a core, and its golden test run on a board that QEMU emulates.

QEMU counts instructions (`-icount`): its clock moves by the same time with each one, and the board's SysTick
shows that clock. Caches, wait states and pipelines are not modelled.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from acula_edge.errors import GateError
from targets.stethoscope.cores import CFLAGS, EMULATOR, VENDORED, VENDORED_CFLAGS, WARNINGS, Core
from targets.stethoscope.toolchain import compile_sources, link_library, link_program, require_tools

_ROOTS = (
    *("acula_init", "acula_push_pcm", "acula_poll", "acula_decide"),
    *("acula_restart", "acula_selftest", "acula_load_head"),
)
_ICOUNT_SHIFT = 5
_TIMEOUT_S = 600
_PASSED, _FAILED = 0, 1  # exit codes of the test


@dataclass(frozen=True)
class Findings:
    """What the golden test found on a board.

    `mismatches` of `values` INT8 outputs of `clips` clips. Instructions are those of one hop, for the front
    end and for each layer; a clip has `hops` of them. `head` is what acula_load_head said of head.bin, None
    if there was none. `failures` are sentences.
    """

    selftest: int
    clips: int
    values: int
    mismatches: int
    hops: int
    state_bytes: int
    stack_bytes: int
    front_end_instructions: int
    layer_instructions: tuple[int, ...]
    head: int | None
    failures: tuple[str, ...]

    @property
    def network_instructions(self) -> int:
        """Instructions of all layers."""
        return sum(self.layer_instructions)


def build_test(bundle: Path, core: Core, out: Path, extra: tuple[str, ...] = ()) -> Path:
    """Compile `bundle` for a core into `out`; the ELF file of its test.

    It has the folders include, src and test, and cmsis_nn if its convolutions are CMSIS-NN's.
    Raises ToolError if the compiler is missing, GateError if it refuses the sources.
    """
    require_tools()
    out.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{bundle / folder}" for folder in ("include", "src", "test", VENDORED)]
    flags = [*CFLAGS, *core.flags, *extra, *includes]
    ours, vendored, tests = (sorted((bundle / name).glob("*.c")) for name in ("src", VENDORED, "test"))
    objects = compile_sources(ours, [*flags, *WARNINGS], out)
    objects += compile_sources(vendored, [*flags, *VENDORED_CFLAGS], out)
    link_library(objects, core, _ROOTS, out)
    elf = out / "acula_test.elf"
    link_program([*map(str, tests), *objects], flags, core, bundle / "test/board.ld", elf)
    return elf


def run_test(elf: Path, core: Core, folder: Path) -> Findings:
    """Run a test on the core's board; it reads golden.bin, and head.bin if there is one, in `folder`.

    Raises GateError if it ends in any other way than a test does.
    """
    return _parse(run_program(elf, core, folder), core)


def run_program(elf: Path, core: Core, folder: Path, shift: int = _ICOUNT_SHIFT) -> list[str]:
    """The lines that a program prints on the core's board; it reads files in `folder`.

    An instruction takes 2^shift ns on the board's clock, which is 24 bits wide: less for longer stretches.
    Raises GateError if it does not end by itself.
    """
    command = [EMULATOR, "-machine", core.machine, "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-icount", f"shift={shift},sleep=off"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise GateError(
            f"{core.title}: the test did not end within {_TIMEOUT_S} s on {core.machine}"
        ) from None
    # Semihosting writes the program's own text to standard error.
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode not in (_PASSED, _FAILED) or not lines:
        raise GateError(f"{core.title}: the test broke off on {core.machine}: {' / '.join(lines[-3:])}")
    return lines


def instructions(ticks: int, core: Core, shift: int = _ICOUNT_SHIFT) -> int:
    """Instructions in which the board's clock moved so far."""
    return int(ticks * 1e9 / core.clock_hz / 2**shift + 0.5)


def _parse(lines: list[str], core: Core) -> Findings:
    values: dict[str, int] = {}
    steps: list[int] = []
    for line in lines:
        name, *numbers = line.split()
        if name == "ticks_step":
            steps.append(instructions(int(numbers[1]), core))
        elif len(numbers) == 1:
            values[name] = int(numbers[0])
    return Findings(
        selftest=values.get("selftest", -1),
        clips=values.get("clips", 0),
        values=values.get("values", 0),
        mismatches=values.get("mismatches", 0),
        hops=values.get("hops", 0),
        state_bytes=values.get("state_bytes", 0),
        stack_bytes=values.get("stack_bytes", 0),
        front_end_instructions=instructions(values.get("ticks_front_end", 0), core),
        layer_instructions=tuple(steps),
        head=values.get("load_head"),
        failures=tuple(line.removeprefix("failed ") for line in lines if line.startswith("failed ")),
    )
