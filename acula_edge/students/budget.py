"""Budget: what a device has for a student, and how it is written on a command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from acula_edge.errors import UsageError

EXAMPLE = "ram=96KiB,flash=256KiB,mmac=15"
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2}
_UNITS = {"ram": _SIZES, "flash": _SIZES, "mmac": {"": 1}}
_AMOUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([A-Za-z]*)")


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
        if key not in _UNITS:
            raise UsageError(f"budget: {part.strip()!r} limits neither ram, flash nor mmac; write {EXAMPLE}")
        if key in found:
            raise UsageError(f"budget: {key} is given twice; give it once")
        found[key] = _amount(key, value)
    ram, flash = (int(found[key]) if key in found else None for key in ("ram", "flash"))
    return Budget(ram, flash, found.get("mmac"))


def _amount(key: str, value: str) -> float:
    match, units = _AMOUNT.fullmatch(value), _UNITS[key]
    if not match or match[2] not in units or float(match[1]) == 0:
        among = f" in {', '.join(units)}" if all(units) else ""
        raise UsageError(f"budget: {key}={value}: give a number above 0{among}, as in {EXAMPLE}")
    return float(match[1]) * units[match[2]]
