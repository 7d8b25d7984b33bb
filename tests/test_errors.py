"""Exit codes are what the module says, and every error is a sentence for the user."""

from __future__ import annotations

import inspect
import re

import pytest

from acula_edge import errors

DRAWN = dict(re.findall(r"(\w+Error)\s+(\d)", errors.__doc__ or ""))
CLASSES = dict(inspect.getmembers(errors, inspect.isclass))


def test_the_tree_is_drawn_whole() -> None:
    assert set(DRAWN) == set(CLASSES)
    assert all(issubclass(error, errors.AculaError) for error in CLASSES.values())


@pytest.mark.parametrize("name", DRAWN)
def test_exit_code_is_the_one_drawn(name: str) -> None:
    assert CLASSES[name].exit_code == int(DRAWN[name])


@pytest.mark.parametrize(
    ("child", "parent"),
    [("LeakError", "DataError"), ("ExistsError", "ArtifactError"), ("UsageError", "AculaError")],
)
def test_branches(child: str, parent: str) -> None:
    assert CLASSES[child].__bases__ == (CLASSES[parent],)


def test_a_missing_extra_says_what_to_run() -> None:
    error = errors.missing_extra("torch", "build")
    assert isinstance(error, errors.ToolError)
    assert str(error) == "torch is not installed; run: pip install 'acula-edge[build]'"
