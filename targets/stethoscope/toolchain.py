"""Toolchain: sources compiled and linked for a core, and the size of what was made."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acula_edge.errors import GateError, ToolError
from targets.stethoscope.cores import APT, COMPILER, EMULATOR, SIZE, Core

_LIBRARY = "library.o"


@dataclass(frozen=True)
class Size:
    """Bytes of a library's code, and of its constants (weights, tables, golden sound)."""

    code_bytes: int
    constant_bytes: int


def require_tools() -> None:
    """Raises ToolError, with the line that installs them, if the compiler or the emulator is missing."""
    missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
    if missing:
        raise ToolError(f"{' and '.join(missing)} not found; run: {APT}")


def compile_sources(sources: Sequence[Path], flags: Sequence[str], out: Path) -> list[str]:
    """Objects of C sources, in the folder `out`. Raises GateError if the compiler refuses them."""
    if sources:
        run_tool([COMPILER, *flags, "-c", *map(str, sources)], out)
    return [str(out / f"{source.stem}.o") for source in sources]


def link_library(objects: Sequence[str], core: Core, roots: Sequence[str], out: Path) -> None:
    """Join objects in the folder `out`, without what a program that calls all of `roots` would leave out."""
    keep = ["-r", "-nostdlib", "-Wl,--gc-sections", *(f"-Wl,-u,{name}" for name in roots)]
    run_tool([COMPILER, *core.flags, *keep, *objects, "-o", _LIBRARY], out)


def size_of(out: Path) -> Size:
    """Sizes of what `link_library` left in the folder `out`."""
    text = run_tool([SIZE, "-A", _LIBRARY], out)
    sizes = [line.split()[:2] for line in text.splitlines() if line.startswith((".text", ".rodata"))]
    code = sum(int(size) for name, size in sizes if name.startswith(".text"))
    return Size(code, sum(int(size) for _, size in sizes) - code)


def link_program(parts: Sequence[str], flags: Sequence[str], core: Core, script: Path, elf: Path) -> None:
    """Link sources and objects to a program for the core's emulated board, by the test's linker script."""
    memories = {
        "CODE_ORIGIN": core.code,
        "CODE_LENGTH": core.code_kib * 1024,
        "DATA_ORIGIN": core.data,
        "DATA_LENGTH": core.data_kib * 1024,
    }
    symbols = [f"-Wl,--defsym={name}={value:#x}" for name, value in memories.items()]
    link = ["-nostartfiles", "--specs=rdimon.specs", "-Wl,--gc-sections", "-T", str(script)]
    run_tool([COMPILER, *flags, *parts, *link, *symbols, "-o", str(elf)], elf.parent)


def run_tool(command: Sequence[str], folder: Path) -> str:
    """What a tool prints. Raises GateError with its first error if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        first = next(
            (line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-200:]
        )
        raise GateError(f"{command[0]} refused the sources: {first}")
    return done.stdout
