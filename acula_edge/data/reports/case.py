"""Case: one recording as its metadata tells it, with several phrasings of each part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from acula_edge.data.reports.facts import Age, Facts, parse_age
from acula_edge.data.reports.mentions import concepts_of, normal

Values = Mapping[str, str]

SEXES = {"M": "male", "F": "female", "male": "male", "female": "female"}
_PEOPLE = {
    ("male", True): "boy",
    ("female", True): "girl",
    ("male", False): "man",
    ("female", False): "woman",
}
_CHILD_YEARS = 18


@dataclass(frozen=True)
class Said:
    """A value of the metadata: phrasings of it, its facts, and what follows from it.

    The first phrase is the plain report's; the others are noun phrases. `literals` are phrases that no
    vocabulary knows.
    """

    phrases: tuple[str, ...] = ()
    facts: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()
    literals: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """The plain report's phrase; empty if there is nothing to say."""
        return self.phrases[0] if self.phrases else ""

    @property
    def nouns(self) -> tuple[str, ...]:
        """Phrases that stand in a sentence."""
        return self.phrases[1:] or self.phrases


@dataclass(frozen=True)
class Case:
    """`today` is the plain report. Each tuple holds phrasings of one part, and is empty if unknown."""

    today: str
    facts: Facts
    sounds: str = ""
    people: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    diagnoses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def said(facts: Iterable[str], *phrases: str, implied: Iterable[str] = ()) -> Said:
    """A `Said` in short."""
    return Said(phrases, frozenset(facts), frozenset(implied))


def literal(text: str) -> Said:
    """A value that no table knows: it stands as it is, and is a fact of its own."""
    if not text:
        return Said()
    known = concepts_of(text)
    return Said((text,), frozenset(known or {normal(text)}), literals=() if known else (normal(text),))


def both(parts: Sequence[Said]) -> Said:
    """Several values at once, such as two diagnoses: "asthma and lung fibrosis"."""
    parts = [part for part in parts if part.phrases]
    if not parts:
        return Said()
    variants = max(len(part.phrases) for part in parts)
    return Said(
        tuple(" and ".join(part.phrases[k % len(part.phrases)] for part in parts) for k in range(variants)),
        frozenset().union(*(part.facts for part in parts)),
        frozenset().union(*(part.implied for part in parts)),
        tuple(text for part in parts for text in part.literals),
    )


def facts_of(values: Values, *parts: Said) -> Facts:
    """Age and sex, where they are given, with the words that follow from the age, and each part."""
    age, every = parse_age(values.get("age", "")), both(parts)
    sex = {SEXES.get(values.get("sex", ""), "")} - {""}
    return Facts(every.facts | sex, every.implied | (age.groups if age else set()), age, every.literals)


def people(values: Values) -> tuple[str, ...]:
    """Phrasings of who was recorded, such as "a 3-year-old girl"; the first is the plain report's."""
    age, sex = parse_age(values.get("age", "")), SEXES.get(values.get("sex", ""), "")
    if age is None:
        return (f"a {sex} patient",) if sex else ()
    plural = "" if age.text == "1" else "s"
    old = f"{age.text}-{age.unit}-old"
    found = [" ".join(part for part in (article(old), old, sex, "patient") if part)]
    found.append(
        " ".join(part for part in ("a", sex, "patient aged", age.text, f"{age.unit}{plural}") if part)
    )
    if sex:
        found.append(f"{article(old)} {old} {_noun(age, sex)}")
    return tuple(found)


def subject(values: Values, sounds: str, site: str) -> str:
    """The plain report's first sentence."""
    start = " of ".join((sounds.capitalize(), *people(values)[:1]))
    return f"{start}, {site}." if site else f"{start}."


def sentence(template: str, value: str) -> str:
    """`template` filled with `value`, or nothing if it is empty."""
    return template.format(value) if value else ""


def joined(*sentences: str) -> str:
    """The sentences that are there, as one text."""
    return " ".join(found for found in sentences if found)


def article(text: str) -> str:
    """The indefinite article before a number."""
    return "an" if text.startswith(("8", "11-", "11.", "18-", "18.")) else "a"


def _noun(age: Age, sex: str) -> str:
    return _PEOPLE[sex, age.years < _CHILD_YEARS]
