"""Splits: nobody is cut, classes are everywhere they can be, official splits are kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.data.config import SplitFractions
from acula_edge.data.folder import SourceRow
from acula_edge.data.recording import Split
from acula_edge.data.splits import Member, assign_splits, group_members, official_splits
from acula_edge.errors import LeakError

FRACTIONS = SplitFractions()


def member(
    number: int,
    patient: str = "",
    label: str = "x",
    dataset: str = "set",
    split: str = "",
    sound: str = "",
    **fields: str,
) -> Member:
    row = SourceRow(number, f"{number}.wav", dataset, str(number), patient, label, split, fields)
    return Member(row, frozenset({sound or f"sound {number}"}), frozenset({label}))


def patients_of(members: Sequence[Member], splits: Sequence[Split], split: Split) -> set[str]:
    return {m.row.patient or m.row.id for m, s in zip(members, splits, strict=True) if s is split}


datasets = st.sampled_from(["one", "two"])
people = st.lists(
    st.tuples(st.integers(0, 15), st.sampled_from("abc"), datasets, st.integers(0, 30)),
    min_size=1,
    max_size=60,
)


@given(people=people, seed=st.integers(0, 5))
def test_no_patient_and_no_sound_is_cut(people: list[tuple[int, str, str, int]], seed: int) -> None:
    members = [
        member(i, f"p{person}" if person else "", label, dataset, sound=str(sound))
        for i, (person, label, dataset, sound) in enumerate(people)
    ]
    splits = assign_splits(members, FRACTIONS, seed)
    seen: dict[str, set[Split]] = defaultdict(set)
    for found, split in zip(members, splits, strict=True):
        for key in (found.row.patient, *found.sounds):
            if key:
                seen[key].add(split)
    assert all(len(parts) == 1 for parts in seen.values())


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=5), seed=st.integers(0, 5))
def test_every_class_is_in_every_part_that_it_can_reach(counts: list[int], seed: int) -> None:
    members = [
        member(i, f"{label} {i}", str(label))
        for label, count in enumerate(counts)
        for i in range(1000 * label, 1000 * label + count)
    ]
    found = Counter(
        (m.row.label, split)
        for m, split in zip(members, assign_splits(members, FRACTIONS, seed), strict=True)
    )
    for label, count in enumerate(counts):
        parts = [found[str(label), split] for split in (Split.TRAIN, Split.TEST, Split.VAL)]
        assert sum(parts) == count
        assert all(parts[: min(3, count)])
        if count >= 8:
            shares = (FRACTIONS.train, FRACTIONS.test, FRACTIONS.val)
            assert all(abs(part - share * count) <= 1 for part, share in zip(parts, shares, strict=True))


def test_the_seed_decides_and_another_data_set_does_not() -> None:
    one = [member(i, f"p{i}", "ab"[i % 2]) for i in range(40)]
    two = [member(100 + i, f"q{i}", "ab"[i % 2], "other") for i in range(40)]
    first = assign_splits(one, FRACTIONS, 0)
    assert first == assign_splits(one, FRACTIONS, 0)
    assert first != assign_splits(one, FRACTIONS, 1)
    assert first == assign_splits([*one, *two], FRACTIONS, 0)[:40]
    assert first == assign_splits(one[::-1], FRACTIONS, 0)[::-1]


def test_a_patient_of_two_data_sets_is_one_patient() -> None:
    members = [member(i, f"p{i % 20}", "ab"[i % 2], "one" if i < 20 else "two") for i in range(40)]
    splits = assign_splits(members, FRACTIONS, 0)
    assert splits[:20] == splits[20:]


def test_shared_sounds_join_patients_through_a_chain() -> None:
    members = [
        member(0, "a", sound="s"),
        member(1, "b", sound="s"),
        member(2, "b", sound="t"),
        member(3, "", sound="t"),
        member(4, "c", sound="u"),
    ]
    groups = group_members(members)
    assert len(set(groups[:4])) == 1
    assert groups[4] == "c"


def test_source_databases_stay_whole_where_no_subject_is_named() -> None:
    sizes = {"a": 9, "c": 3, "e": 11}
    members = [
        member(100 * k + i, "", "ab"[i % 2], "physionet2016", p2016_db=name)
        for k, (name, size) in enumerate(sizes.items())
        for i in range(size)
    ]
    parts: dict[str, set[Split]] = defaultdict(set)
    for found, split in zip(members, assign_splits(members, FRACTIONS, 0), strict=True):
        parts[found.row.fields["p2016_db"]].add(split)
    # 7 of 23 recordings are the test share: database a (9) is nearer to it than c (3).
    assert parts == {"a": {Split.TEST}, "c": {Split.TRAIN}, "e": {Split.TRAIN}}


def test_an_official_split_is_kept() -> None:
    names = ["train", "train", "valid", "test"]
    members = [member(i, f"p{i}", "ab"[i // 4 % 2], split=names[i % 4]) for i in range(40)]
    expected = [{"train": Split.TRAIN, "valid": Split.VAL, "test": Split.TEST}[m.row.split] for m in members]
    assert assign_splits(members, FRACTIONS, 0) == expected


def test_val_is_taken_from_official_train_patients() -> None:
    members = [member(i, f"p{i}", "ab"[i % 2], split="test" if i < 10 else "train") for i in range(50)]
    splits = assign_splits(members, FRACTIONS, 0)
    assert splits[:10] == [Split.TEST] * 10
    # 0.15 / (0.6 + 0.15) of 40 patients
    assert Counter(splits[10:]) == {Split.TRAIN: 32, Split.VAL: 8}


OTHER_NAMES = [["fold1", "fold2"], ["train", "intra_test"], ["train", "val"], ["train", ""]]


@pytest.mark.parametrize("names", OTHER_NAMES, ids=str)
def test_other_names_are_no_official_split(names: list[str]) -> None:
    members = [member(i, f"p{i}", split=names[i % 2]) for i in range(40)]
    assert official_splits(m.row for m in members) == {}
    splits = assign_splits(members, FRACTIONS, 0)
    assert {splits[i] for i in range(0, 40, 2)} == set(Split)


def test_a_patient_in_two_official_splits_is_named() -> None:
    members = [
        member(2, "anna", split="train"),
        member(3, "anna", split="test"),
        member(4, "bert", split="test"),
    ]
    with pytest.raises(LeakError, match=r"anna, into test \(line 3, 3.wav\) and train \(line 2, 2.wav\)"):
        assign_splits(members, FRACTIONS, 0)


def test_the_very_same_sound_in_two_official_splits_is_named() -> None:
    members = [member(2, "anna", split="train", sound="s"), member(3, "bert", split="test", sound="s")]
    with pytest.raises(LeakError, match=r"2\.wav"):
        assign_splits(members, FRACTIONS, 0)


def test_what_nothing_is_known_of_goes_to_train_with_its_patient() -> None:
    known = [member(number, patient=f"p{number % 20}", label=str(number % 2)) for number in range(40)]
    silent = [replace(member(100 + number, patient=f"x{number}"), known=False) for number in range(10)]
    mixed = [replace(member(200 + number, patient=f"p{number}"), known=False) for number in range(20)]
    splits = assign_splits([*known, *silent, *mixed], SplitFractions(), 0)
    assert set(splits[40:50]) == {Split.TRAIN}
    assert splits[50:] == splits[:20]
    assert set(splits[:40]) == set(Split)
