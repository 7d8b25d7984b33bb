"""A budget as it is written on a command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.errors import UsageError
from acula_edge.students.budget import Budget, parse_budget

AMOUNT = st.integers(1, 10**6)
SIZE = st.tuples(AMOUNT, st.sampled_from([("B", 1), ("KiB", 1024), ("MiB", 1024**2)]))


def test_the_documented_example() -> None:
    assert parse_budget("ram=96KiB,flash=256KiB,mmac=15") == Budget(96 * 1024, 256 * 1024, 15.0)
    assert parse_budget(" mmac = 2.5 ") == Budget(mmac=2.5)
    assert parse_budget("ram=1.5KiB") == Budget(ram_bytes=1536)


@given(st.none() | SIZE, st.none() | SIZE, st.none() | AMOUNT, st.randoms(use_true_random=False))
def test_any_order_and_any_part(ram: object, flash: object, mmac: object, order: object) -> None:
    parts = [f"{key}={size[0]}{size[1][0]}" for key, size in (("ram", ram), ("flash", flash)) if size]
    parts += [f"mmac={mmac}"] if mmac else []
    order.shuffle(parts)
    wanted = Budget(*(size[0] * size[1][1] if size else None for size in (ram, flash)), mmac)
    if parts:
        assert parse_budget(",".join(parts)) == wanted
    else:
        with pytest.raises(UsageError):
            parse_budget("")


@given(
    st.text(max_size=30)
    | st.from_regex(r"\A(ram|flash|mmac)=[-0-9.e٣∞KMiB]{0,12}(,(ram|flash|mmac)=[0-9]{0,400}B?)?\Z")
)
def test_any_text_is_a_budget_or_a_sentence(text: str) -> None:
    try:
        budget = parse_budget(text)
    except UsageError:
        return
    limits = [limit for limit in (budget.ram_bytes, budget.flash_bytes, budget.mmac) if limit is not None]
    assert limits
    assert all(0 <= limit < float("inf") for limit in limits)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rom=5KiB", "'rom=5KiB' limits neither ram, flash nor mmac; write ram=96KiB,flash=256KiB,mmac=15"),
        ("ram=96", "ram=96: give a number above 0 in B, KiB, MiB, as in"),
        ("ram=96KB", "ram=96KB: give a number above 0 in B, KiB, MiB, as in"),
        ("flash=-1KiB", "flash=-1KiB: give a number above 0"),
        ("mmac=0", "mmac=0: give a number above 0, as in"),
        ("mmac=15M", "mmac=15M: give a number above 0, as in"),
        ("mmac=nan", "mmac=nan: give"),
        ("ram=1KiB,ram=2KiB", "ram is given twice"),
        ("ram=1KiB,", "'' limits neither"),
    ],
)
def test_what_is_wrong_is_named(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budget(text)
    assert told in str(caught.value)
