"""Splits: patient-disjoint train, val and test parts, stratified, and official where a source gives them."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acula_edge.data.config import SplitFractions
from acula_edge.data.folder import SourceRow
from acula_edge.data.recording import Split
from acula_edge.errors import LeakError

OFFICIAL = {
    "train": Split.TRAIN,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "dev": Split.VAL,
    "test": Split.TEST,
}
# Sets that do not name their subjects: only this field is surely constant for one subject.
GROUP_FIELD = {"physionet2016": "p2016_db"}
_FEW_SOURCES = 4


@dataclass(frozen=True)
class Member:
    """What a recording brings to the split: its row, its sounds, and its classes.

    Recordings that share one of `sounds` are copies, or the same sound through another filter. Of one
    that is not `known` nothing clinical is said.
    """

    row: SourceRow
    sounds: frozenset[str]
    strata: frozenset[str]
    known: bool = True


@dataclass(frozen=True)
class Unit:
    """Recordings that no split may cut: one patient, one source database, or one recording."""

    name: str
    dataset: str
    n_recordings: int
    strata: frozenset[str]
    official: Split | None
    known: bool


def owner(row: SourceRow) -> str:
    """The patient of a row; where it is not named, the source database or the recording itself."""
    if row.patient:
        return row.patient
    field = GROUP_FIELD.get(row.dataset)
    return f"{row.dataset}/{field}={row.fields.get(field, '')}" if field else row.id


def group_members(members: Sequence[Member]) -> list[str]:
    """Group of each member: its owner, joined with every owner of the same sound.

    A patient id means the same patient in every data set.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for member in members:
        for sound in member.sounds:
            first, second = sorted((root(f"owner {owner(member.row)}"), root(f"sound {sound}")))
            parent[second] = first
    return [root(f"owner {owner(member.row)}").removeprefix("owner ") for member in members]


def official_splits(rows: Iterable[SourceRow]) -> dict[str, set[Split]]:
    """Data sets with an official split, and its parts: every row says train, val or test.

    Other names (fold3, intra_test, training-e) are not an official split, nor is one without both
    train and test.
    """
    names: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        names[row.dataset].add(row.split)
    parts = {dataset: {OFFICIAL.get(name) for name in found} for dataset, found in names.items()}
    return {
        dataset: {part for part in found if part is not None}
        for dataset, found in parts.items()
        if None not in found and {Split.TRAIN, Split.TEST} <= found
    }


def assign_splits(members: Sequence[Member], fractions: SplitFractions, seed: int) -> list[Split]:
    """Split of each member. Groups are never cut; each data set is split by itself.

    Raises LeakError, naming the patient, if an official split puts one group into two parts.
    """
    official = official_splits(member.row for member in members)
    groups = group_members(members)
    placed: dict[str, Split] = {}
    pools: dict[tuple[str, tuple[Split, ...]], list[Unit]] = defaultdict(list)
    for unit in _units(members, groups, official):
        if not unit.known and unit.official is None:
            placed[unit.name] = Split.TRAIN  # there is nothing to score, and much to hear
        elif unit.official is None:
            pools[unit.dataset, tuple(Split)].append(unit)
        elif unit.official is Split.TRAIN and Split.VAL not in official.get(unit.dataset, {Split.VAL}):
            pools[unit.dataset, (Split.TRAIN, Split.VAL)].append(unit)
        else:
            placed[unit.name] = unit.official
    for (dataset, parts), units in pools.items():
        shares = {part: float(getattr(fractions, part)) for part in parts}
        placed |= _split_pool(dataset, units, shares, seed)
    return [placed[group] for group in groups]


def _units(
    members: Sequence[Member], groups: Sequence[str], official: Mapping[str, set[Split]]
) -> list[Unit]:
    by_group: dict[str, list[Member]] = defaultdict(list)
    for member, group in zip(members, groups, strict=True):
        by_group[group].append(member)
    return [
        Unit(
            name=group,
            dataset=Counter(sorted(member.row.dataset for member in found)).most_common(1)[0][0],
            n_recordings=len(found),
            strata=frozenset[str]().union(*(member.strata for member in found)) or frozenset({""}),
            official=_official_part(group, [member.row for member in found], official),
            known=any(member.known for member in found),
        )
        for group, found in sorted(by_group.items())
    ]


def _official_part(group: str, rows: Sequence[SourceRow], official: Mapping[str, set[Split]]) -> Split | None:
    found = {OFFICIAL[row.split]: row for row in rows if row.dataset in official}
    if len(found) > 1:
        first, second, *_ = (f"{part} (line {row.line}, {row.path})" for part, row in sorted(found.items()))
        raise LeakError(
            f"the column split puts one patient or one sound, {group}, into {first} and {second}; give all "
            "its recordings one value, or empty the column for this data set"
        )
    return next(iter(found), None)


def _split_pool(
    dataset: str, units: list[Unit], shares: Mapping[Split, float], seed: int
) -> dict[str, Split]:
    if dataset in GROUP_FIELD and len(units) < _FEW_SOURCES:
        return _split_sources(units, shares)
    # A generator of its own for each data set: another set in the folder changes nothing here.
    order = np.random.default_rng([seed, zlib.crc32(dataset.encode())]).permutation(len(units))
    return _stratify([units[i] for i in order], shares)


def _split_sources(units: list[Unit], shares: Mapping[Split, float]) -> dict[str, Split]:
    """Few source databases: the largest trains, the one nearest to the test share tests, none validates."""
    by_size = sorted(units, key=lambda unit: (-unit.n_recordings, unit.name))
    share = shares.get(Split.TEST, 0.0) / (shares.get(Split.TEST, 0.0) + shares[Split.TRAIN])
    wanted = share * sum(unit.n_recordings for unit in units)
    tested = min(by_size[1:], key=lambda unit: abs(unit.n_recordings - wanted), default=None)
    return {unit.name: Split.TEST if unit is tested else Split.TRAIN for unit in by_size}


def _stratify(units: Sequence[Unit], shares: Mapping[Split, float]) -> dict[str, Split]:
    """Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011), the rarest class first.

    One addition: while a part still lacks the class, and units run short, such a part is served first,
    so that every part has every class when it can (a single unit goes to train).
    """
    left = Counter(stratum for unit in units for stratum in unit.strata)
    share = {part: value / sum(shares.values()) for part, value in shares.items()}
    wanted = {(stratum, part): share[part] * left[stratum] for stratum in left for part in shares}
    waiting = {stratum: [unit for unit in units if stratum in unit.strata] for stratum in left}
    covered: set[tuple[str, Split]] = set()
    placed: dict[str, Split] = {}
    while left:
        rarest = min(left, key=lambda stratum: (left[stratum], stratum))
        unit = next(unit for unit in iter(waiting[rarest].pop, None) if unit.name not in placed)
        lacking = [part for part in shares if (rarest, part) not in covered]
        parts = lacking if len(lacking) >= left[rarest] and lacking else list(shares)
        part = max(parts, key=lambda part: wanted[rarest, part])
        placed[unit.name] = part
        for stratum in unit.strata:
            wanted[stratum, part] -= 1
            covered.add((stratum, part))
        left = +(left - Counter(unit.strata))
    return placed
