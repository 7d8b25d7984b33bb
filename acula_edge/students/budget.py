"""Budget: what a device has for a student, and how it is written on a command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from acula_edge.errors import UsageError

_EXAMPLE = "ram=96KiB,flash=256KiB,mmac=15"
_BYTES_PER_UNIT = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2}
_NUMBER = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([A-Za-z]*)")


@dataclass(frozen=True)
class Budget:
    """The most that a student may take; None where there is no limit.

    `ram_bytes` and `flash_bytes` count an INT8 student alone, without runtime, front end and program;
    `mmac` is in millions of multiply-accumulates for one clip.
    """

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    mmac: float | None = None


def parse_budget(text: str) -> Budget:
    """`ram=96KiB,flash=256KiB,mmac=15`, in any order; what is left out has no limit.

    Raises UsageError naming the part that is wrong.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in _READERS:
            raise UsageError(
                f"budget: {part.strip()!r} is no limit; give some of ram, flash and mmac, as in {_EXAMPLE}"
            )
        if key in found:
            raise UsageError(f"budget: {key} is given twice; give it once")
        found[key] = _READERS[key](key, value)
    ram, flash = (int(found[key]) if key in found else None for key in ("ram", "flash"))
    return Budget(ram, flash, found.get("mmac"))


def _bytes(key: str, value: str) -> float:
    match = _NUMBER.fullmatch(value)
    if not match or match[2] not in _BYTES_PER_UNIT or float(match[1]) == 0:
        raise UsageError(
            f"budget: {key}={value} is not a size; give a number above 0 in B, KiB or MiB, as in {_EXAMPLE}"
        )
    return float(match[1]) * _BYTES_PER_UNIT[match[2]]


def _millions(key: str, value: str) -> float:
    match = _NUMBER.fullmatch(value)
    if not match or match[2] or float(match[1]) == 0:
        raise UsageError(
            f"budget: {key}={value} is not a number of millions of multiply-accumulates; give a number above 0, "
            f"as in {_EXAMPLE}"
        )
    return float(match[1])


_READERS = {"ram": _bytes, "flash": _bytes, "mmac": _millions}
