"""`acula-edge doctor`: what this machine can do, and what is missing for the rest."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from acula_edge.commands.options import Json
from acula_edge.commands.output import print_json, print_rows

# Tools outside Python, and what they are for.
_TOOLS = {
    "adb": "runs a bundle on an Android phone",
    "arm-none-eabi-gcc": "compiles the stethoscope firmware",
    "qemu-system-arm": "runs the firmware without a board",
    "aarch64-linux-gnu-g++": "compiles for a phone's processor (benchmarks/arm64.py)",
    "qemu-aarch64": "counts a phone's instructions (benchmarks/arm64.py)",
    "gcc": "compiles the C library for this machine",
}
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w.-]+)["']""")
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Check:
    """One thing that was looked for: `found` is its version or place, empty where it is missing."""

    group: str
    name: str
    found: str
    advice: str


def doctor(as_json: Json = False) -> None:
    """Show what is installed and what is missing."""
    checks = [*_machine(), *_packages(), *_runtimes(), *_weights(), *_tools()]
    if as_json:
        print_json([asdict(check) for check in checks])
        return
    rows = [(check.group, check.name, check.found or f"missing: {check.advice}") for check in checks]
    print_rows(("group", "name", "found"), rows)


def _machine() -> Iterator[Check]:
    from acula_edge.environment import environment

    found = environment()
    for name in ("python", "processor", "cores", "machine"):
        yield Check("machine", name, found[name], "")
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Check("machine", "memory", f"{memory_bytes / 2**30:.1f} GiB", "")


def _packages() -> Iterator[Check]:
    """Every requirement of the installed distribution, under the extra that brings it."""
    from importlib import metadata

    yield Check("base", "acula-edge", metadata.version("acula-edge"), "")
    for requirement in metadata.requires("acula-edge") or []:
        extra = _EXTRA.search(requirement)
        name = _NAME.match(requirement)
        if name is None:
            continue
        group = extra.group(1) if extra else "base"
        package = "acula-edge" if group == "base" else f"'acula-edge[{group}]'"
        yield Check(group, name.group(), _version(name.group()), f"pip install {package}")


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _runtimes() -> Iterator[Check]:
    from acula_edge.runtime.runner import Runtime, available

    for runtime in Runtime:
        found = "usable" if available(runtime) else ""
        yield Check("runtime", f".{runtime}", found, "pip install 'acula-edge[build]'")


def _weights() -> Iterator[Check]:
    from acula_edge.weights import WEIGHTS, home, installed

    for name in WEIGHTS:
        found = str(home() / name) if installed(name) else ""
        yield Check("weights", name, found, f"acula-edge models add {name}")


def _tools() -> Iterator[Check]:
    for name, purpose in _TOOLS.items():
        yield Check("tool", name, shutil.which(name) or "", purpose)
