"""What is written as TOML, `tomllib` reads back."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.toml_text import toml_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALAR = (
    TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
LINE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
VALUES = st.recursive(
    st.dictionaries(TEXT, SCALAR | st.lists(LINE, max_size=3), max_size=4),
    lambda inner: st.dictionaries(TEXT, inner | SCALAR, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_round_trip(values: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(values)) == values


def test_what_is_none_is_left_out() -> None:
    values = {"a": {"x": None, "y": 1, "blocks": [{"kernel": 5, "top": None}]}, "b": None}
    assert tomllib.loads(toml_text(values)) == {"a": {"y": 1, "blocks": [{"kernel": 5}]}}


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="a set has no place"):
        toml_text({"a": {1, 2}})
