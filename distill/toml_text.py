"""TOML text of plain values, for config files that this program writes (`tomllib` only reads)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(values: Mapping[str, Any]) -> str:
    """`values` as TOML: a table for each mapping; a key whose value is None is left out.

    Takes str, bool, int, finite float, and lists and mappings of them; a mapping in a list stands on one
    line. Raises TypeError for any other type.
    """
    return "\n".join(_table((), values)).strip() + "\n"


def _table(path: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[str]:
    inner = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in values.items() if name not in inner and value is not None}
    if path and (plain or not inner):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for name, value in plain.items():
        yield f"{_key(name)} = {_value(value)}"
    for name, value in inner.items():
        yield from _table((*path, name), value)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        kept = {name: item for name, item in value.items() if item is not None}
        return "{" + ", ".join(f"{_key(name)} = {_value(item)}" for name, item in kept.items()) + "}"
    if isinstance(value, list | tuple):
        return _array(list(map(_value, value)), bool(value) and isinstance(value[0], Mapping))
    raise TypeError(f"a {type(value).__name__} has no place in a TOML file")


def _array(items: list[str], one_a_line: bool) -> str:
    if one_a_line:
        return "[\n" + "".join(f"  {item},\n" for item in items) + "]"
    return f"[{', '.join(items)}]"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """JSON's escapes are TOML's, but for the delete character, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
