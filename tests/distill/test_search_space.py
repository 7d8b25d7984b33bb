"""Every point of the search's space can be built, and is what its names say."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.students.budget import parse_budget
from acula_edge.students.families import FAMILIES
from acula_edge.students.plan import plan_of
from distill.search_result import Needs
from distill.search_space import START, TABLE, Choice

ROWS = st.fixed_dictionaries({name: st.integers(0, len(rows) - 1) for name, rows in TABLE.items()})
FRONT_END = ("sample_rate_hz", "n_mels", "hop_ms", "clip_seconds")


def test_every_front_end_is_possible() -> None:
    for rows in product(*(range(len(TABLE[name])) for name in FRONT_END)):
        choice = Choice.of({**START, **dict(zip(FRONT_END, rows, strict=True))})
        contract = choice.contract()
        assert contract.clip_seconds == choice.clip_seconds
        assert contract.n_mels == choice.n_mels
        assert contract.hop_samples * 1000 == choice.hop_ms * choice.sample_rate_hz


@given(ROWS)
def test_every_student_is_what_its_names_say(rows: dict[str, int]) -> None:
    choice = Choice.of(rows)
    student = choice.student()
    channels = [student.stem_channels, *(block.channels for block in student.blocks)]
    assert channels == sorted(channels)
    assert channels[-1] == choice.width
    assert all(width % 8 == 0 for width in channels)
    assert len(student.blocks) == choice.n_blocks
    assert prod(block.mel_stride for block in student.blocks) == 2**choice.mel_halvings
    assert student.frame_stride == 2 ** (choice.frame_halvings + 1)
    contract = choice.contract()
    assert plan_of(student, contract.n_mels, contract.n_frames, 3).macs > 0


def test_widening_late_is_narrower_and_reducing_early_is_cheaper() -> None:
    even, late = (Choice.of({**START, "widens": row}) for row in (1, 0))
    widths = [[block.channels for block in choice.student().blocks] for choice in (even, late)]
    assert widths == [[24, 40, 48, 64, 80, 96], [16, 16, 24, 40, 64, 96]]
    early = Choice.of({**START, "reduces": 0})
    assert _needs(early).macs < _needs(even).macs


def test_search_begins_near_the_tiny_family() -> None:
    start, tiny = Choice.of(START), FAMILIES["tiny"].config
    plan = plan_of(tiny, 48, 249, 9)
    assert _needs(start).macs == pytest.approx(plan.macs, rel=0.35)
    assert start.student().embedding_dim == tiny.embedding_dim
    assert start.student().frame_stride == tiny.frame_stride


def test_ram_is_the_peak_and_the_features() -> None:
    choice = Choice.of(START)
    plan = plan_of(choice.student(), 48, 249, 9)
    assert _needs(choice).ram_bytes == plan.peak_activation_bytes + 48 * 249


def test_excess_is_a_share_of_each_limit() -> None:
    needs = Needs(parameters=1, macs=3_000_000, ram_bytes=1536, flash_bytes=1024)
    assert needs.excess(parse_budget("ram=1KiB,mmac=4")) == {"ram": 0.5, "mmac": -0.25}
    assert needs.excess(parse_budget("flash=1KiB")) == {"flash": 0.0}


def _needs(choice: Choice) -> Needs:
    return Needs.of(choice.student(), choice.contract(), 9)
