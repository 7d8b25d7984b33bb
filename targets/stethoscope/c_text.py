"""C text: constants and arrays as C99 writes them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDTH = 110
_TYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.uint8): "uint8_t",
    np.dtype(np.uint16): "uint16_t",
    np.dtype(np.uint32): "uint32_t",
    np.dtype(np.float32): "float",
}


def array(name: str, numbers: NDArray[Any], static: bool = True) -> str:
    """A constant array; floats are written so that they read back to the same bits."""
    numbers = numbers.ravel()
    words = ", ".join(_literal(number) for number in numbers)
    body = textwrap.fill(words, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    scope = "static const" if static else "const"
    return f"{scope} {_TYPES[numbers.dtype]} {name}[{numbers.size}] = {{\n{body}\n}};\n"


def struct(kind: str, name: str, fields: Mapping[str, object]) -> str:
    """A constant structure with its fields by name."""
    lines = "".join(f"    .{field} = {_value(value)},\n" for field, value in fields.items())
    return f"static const {kind} {name} = {{\n{lines}}};\n"


def defines(pairs: Iterable[tuple[str, object]]) -> str:
    """One #define for each pair."""
    return "".join(f"#define {name} {_value(value)}\n" for name, value in pairs)


def quoted(text: str) -> str:
    """A string literal. Raises ValueError for text that is not printable ASCII."""
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{text!r} can not stand in C source")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _literal(number: Any) -> str:
    if isinstance(number, np.floating):
        return f"{float(number).hex()}f"
    return f"{number}u" if isinstance(number, np.unsignedinteger) else str(number)


def _value(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return f"({value})" if isinstance(value, int) and value < 0 else str(value)
