"""Emulator: the library compiled for a core, and its golden test run on a board that QEMU emulates.

QEMU counts instructions (`-icount`): its clock moves by the same time with each one, and the board's SysTick
shows that clock. Caches, wait states and pipelines are not modelled.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from acula_edge.errors import GateError, ToolError
from targets.stethoscope.cores import (
    APT,
    CFLAGS,
    COMPILER,
    EMULATOR,
    SIZE,
    VENDORED,
    VENDORED_CFLAGS,
    WARNINGS,
    Core,
)

LINKED = "libacula.o"
_ROOTS = (
    *("acula_init", "acula_push_pcm", "acula_poll", "acula_decide"),
    *("acula_restart", "acula_selftest", "acula_load_head"),
)
_ICOUNT_SHIFT = 5
_NS_PER_INSTRUCTION = 2**_ICOUNT_SHIFT
_TIMEOUT_S = 600
_PASSED, _FAILED = 0, 1  # exit codes of the test


@dataclass(frozen=True)
class Findings:
    """What the golden test found on a board.

    `mismatches` of `values` INT8 outputs of `clips` clips. Instructions are those of one hop, for the front
    end and for each layer; a clip has `hops` of them. `failures` are sentences.
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
    failures: tuple[str, ...]

    @property
    def network_instructions(self) -> int:
        """Instructions of all layers."""
        return sum(self.layer_instructions)


@dataclass(frozen=True)
class Size:
    """Bytes of the library's code, and of its constants (weights, tables, golden sound)."""

    code_bytes: int
    constant_bytes: int


def require_tools() -> None:
    """Raises ToolError, with the line that installs them, if the compiler or the emulator is missing."""
    missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
    if missing:
        raise ToolError(f"{' and '.join(missing)} not found; run: {APT}")


def build_test(bundle: Path, core: Core, out: Path, extra: tuple[str, ...] = ()) -> Path:
    """Compile `bundle` for a core into `out`; the ELF file of its test.

    It has the folders include, src and test, and cmsis_nn if its convolutions are CMSIS-NN's.
    Raises ToolError if the compiler is missing, GateError if it refuses the sources.
    """
    require_tools()
    out.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{bundle / folder}" for folder in ("include", "src", "test", VENDORED)]
    flags = [*CFLAGS, *core.flags, *extra, *includes]
    objects = [*_compile(bundle / "src", [*flags, *WARNINGS], out)]
    objects += _compile(bundle / VENDORED, [*flags, *VENDORED_CFLAGS], out)
    # What a program that calls all of the library keeps of it.
    roots = [f"-Wl,-u,{name}" for name in _ROOTS]
    _run([COMPILER, *core.flags, "-r", "-nostdlib", "-Wl,--gc-sections", *roots, *objects, "-o", LINKED], out)
    elf = out / "acula_test.elf"
    memories = {
        "CODE_ORIGIN": core.code,
        "CODE_LENGTH": core.code_kib * 1024,
        "DATA_ORIGIN": core.data,
        "DATA_LENGTH": core.data_kib * 1024,
    }
    symbols = [f"-Wl,--defsym={name}={value:#x}" for name, value in memories.items()]
    link = ["-nostartfiles", "--specs=rdimon.specs", "-Wl,--gc-sections", "-T", str(bundle / "test/board.ld")]
    tests = map(str, sorted((bundle / "test").glob("*.c")))
    _run([COMPILER, *flags, *tests, *objects, *link, *symbols, "-o", str(elf)], out)
    return elf


def _compile(folder: Path, flags: list[str], out: Path) -> list[str]:
    """The objects of a folder's sources; none of a folder that is not there."""
    sources = sorted(folder.glob("*.c"))
    if sources:
        _run([COMPILER, *flags, "-c", *map(str, sources)], out)
    return [str(out / f"{source.stem}.o") for source in sources]


def run_test(elf: Path, core: Core, folder: Path) -> Findings:
    """Run a test on the core's board; it reads golden.bin, and head.bin if there is one, in `folder`.

    Raises GateError if it ends in any other way than a test does.
    """
    command = [EMULATOR, "-machine", core.machine, "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-icount", f"shift={_ICOUNT_SHIFT},sleep=off"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise GateError(
            f"{core.title}: the test did not end within {_TIMEOUT_S} s on {core.machine}"
        ) from None
    # Semihosting writes the test's own text to standard error.
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode not in (_PASSED, _FAILED) or not lines:
        raise GateError(f"{core.title}: the test broke off on {core.machine}: {' / '.join(lines[-3:])}")
    return _parse(lines, core)


def size_of(folder: Path) -> Size:
    """Sizes of the library that `build_test` left in `folder`."""
    text = _run([SIZE, "-A", LINKED], folder)
    sizes = [line.split()[:2] for line in text.splitlines() if line.startswith((".text", ".rodata"))]
    code = sum(int(size) for name, size in sizes if name.startswith(".text"))
    return Size(code, sum(int(size) for _, size in sizes) - code)


def _parse(lines: list[str], core: Core) -> Findings:
    values: dict[str, int] = {}
    steps: list[int] = []
    for line in lines:
        name, *numbers = line.split()
        if name == "ticks_step":
            steps.append(_instructions(int(numbers[1]), core))
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
        front_end_instructions=_instructions(values.get("ticks_front_end", 0), core),
        layer_instructions=tuple(steps),
        failures=tuple(line.removeprefix("failed ") for line in lines if line.startswith("failed ")),
    )


def _instructions(ticks: int, core: Core) -> int:
    return int(ticks * 1e9 / core.clock_hz / _NS_PER_INSTRUCTION + 0.5)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        first = next(
            (line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-200:]
        )
        raise GateError(f"{command[0]} refused the sources: {first}")
    return done.stdout
