"""Mentions: which concepts a text names, which of them it denies, and which words and numbers are left.

Negation is NegEx's idea (Chapman et al., J Biomed Inform 34:301, 2001): a trigger denies what stands on
one side of it, up to the end of its clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from acula_edge.data.reports.vocabulary import BOTH_DISEASES, BOTH_SOUNDS, BREATH_FINDINGS, CONCEPTS, PHASES

_UNITS = {"year": "year", "years": "year", "yr": "year", "yrs": "year", "month": "month", "months": "month"}
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: value for value, word in enumerate(_ONES)}
_LARGE = {word: 10 * value for value, word in enumerate(_TENS, 2)}

_NUMBER = re.compile(
    rf"(?<![\w.])(?:(?P<digits>\d+(?:\.\d+)?)|"
    rf"(?P<tens>{'|'.join(_TENS)})(?: (?P<ones>{'|'.join(_ONES[1:10])}))?|"
    rf"(?P<small>{'|'.join(_ONES)}))(?!\w|\.\d)(?: (?P<unit>{'|'.join(_UNITS)})\b)?"
)
_CLAUSE = re.compile(r"[.;!?|\n]+(?=\s|$)")
_BEFORE = re.compile(
    r"\b(?:no|not|without|absence of|free of|free from|nor|neither|never|none of|negative for|lack of|lacks|"
    r"lacking|denies|rather than|instead of|excludes|excluded)\b"
)
_AFTER = re.compile(
    r"(?<!not )(?<!not be )(?<!not been )\b(?:absent|none|negative|excluded|ruled out|denied|inaudible|"
    r"not (?:heard|present|detected|audible|found|noted|observed|seen|there|identified))\b"
)
# "no wheeze and crackles": a denial reaches over `or`, and over commas of a list, and no further.
_END = re.compile(r"\b(?:and|but|with|without|however|although|though|while|whereas|except|yet|only)\b|,")
_LIST = re.compile(r"\b(?:or|nor)\b")


@dataclass(frozen=True)
class Number:
    """A number in a text; `unit` is year, month or empty."""

    value: float
    unit: str


@dataclass(frozen=True)
class Reading:
    """What a text says: `facts` as in `facts`, numbers, and the words that name none of them."""

    facts: frozenset[str]
    numbers: tuple[Number, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class _Mention:
    start: int
    end: int
    concepts: tuple[str, ...]


def normal(text: str) -> str:
    """Lower case, single spaces, hyphens and slashes as spaces."""
    return re.sub(r"[\s/\u2010-\u2015-]+", " ", text.lower().replace("\u2019", "'")).strip()


def read(text: str, literals: tuple[str, ...] = ()) -> Reading:
    """What `text` says; `literals` are phrases that are concepts too, under their own name."""
    facts: set[str] = set()
    numbers: list[Number] = []
    words: list[str] = []
    for clause in _CLAUSE.split(normal(text)):
        mentions = list(_mentions(clause, literals))
        rest = _blank(clause, mentions)
        signs = [_denied(rest, mention) for mention in mentions]
        facts |= set(_facts(mentions, signs))
        numbers += [_number(match) for match in _NUMBER.finditer(rest)]
        words += re.findall(r"[^\W\d_]+(?:'\w+)?", _NUMBER.sub(" ", rest))
    return Reading(frozenset(facts), tuple(numbers), tuple(words))


def concepts_of(phrase: str) -> tuple[str, ...]:
    """The concepts that a phrase names as a whole; nothing if it is none of the vocabulary's."""
    match = _pattern(()).fullmatch(normal(phrase))
    return _named(match[0], ()) if match else ()


@lru_cache(maxsize=4096)
def _pattern(literals: tuple[str, ...]) -> re.Pattern[str]:
    phrases = sorted({*_phrases(), *literals}, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, phrases))})(?:e?s)?(?!\w)")


@lru_cache(maxsize=1)
def _phrases() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = dict.fromkeys(BOTH_DISEASES, ("lung disease", "heart disease"))
    found |= dict.fromkeys(BOTH_SOUNDS, ("cas", "crackles"))
    for concept, phrases in CONCEPTS.items():
        for phrase in phrases:
            found[phrase] = (*found.get(phrase, ()), concept)
    return found


def _named(text: str, literals: tuple[str, ...]) -> tuple[str, ...]:
    for stem in (text, text.removesuffix("s"), text.removesuffix("es")):
        if stem in literals:
            return (stem,)
        if stem in _phrases():
            return _phrases()[stem]
    raise AssertionError(text)


def _mentions(clause: str, literals: tuple[str, ...]) -> Iterator[_Mention]:
    for match in _pattern(literals).finditer(clause):
        yield _Mention(match.start(), match.end(), _named(match[0], literals))


def _blank(clause: str, mentions: list[_Mention]) -> str:
    """The clause with a space for each letter of a mention, so that places stay."""
    for mention in mentions:
        clause = clause[: mention.start] + " " * (mention.end - mention.start) + clause[mention.end :]
    return clause


def _denied(rest: str, mention: _Mention) -> bool:
    before = [m.end() for m in _BEFORE.finditer(rest) if m.end() <= mention.start]
    after = [m.start() for m in _AFTER.finditer(rest) if m.start() >= mention.end]
    return any(_reaches(rest, end, mention.start) for end in before) or any(
        _reaches(rest, mention.end, start) for start in after
    )


def _reaches(rest: str, start: int, end: int) -> bool:
    ends = list(_END.finditer(rest, start, end))
    if not all(match[0] == "," for match in ends):
        return False
    return not ends or _LIST.search(rest, ends[-1].end()) is not None


def _facts(mentions: list[_Mention], denied: list[bool]) -> Iterator[str]:
    signs = dict(zip(mentions, denied, strict=True))
    hosts = [mention for mention in mentions if BREATH_FINDINGS & set(mention.concepts)]
    for mention in mentions:
        host = min(hosts, key=lambda host: _gap(host, mention), default=None)
        for concept in mention.concepts:
            if concept in PHASES and host is not None:
                yield from (_signed(f"{concept} {found}", signs[host]) for found in host.concepts)
            else:
                yield _signed(concept, signs[mention])


def _gap(one: _Mention, other: _Mention) -> int:
    return max(one.start - other.end, other.start - one.end)


def _signed(concept: str, denied: bool) -> str:
    if not denied:
        return concept
    return concept.removeprefix("-") if concept.startswith("-") else f"-{concept}"


def _number(match: re.Match[str]) -> Number:
    unit = _UNITS.get(match["unit"] or "", "")
    if match["digits"]:
        return Number(float(match["digits"]), unit)
    if match["tens"]:
        return Number(_LARGE[match["tens"]] + _SMALL.get(match["ones"] or "zero", 0), unit)
    return Number(_SMALL[match["small"]], unit)
