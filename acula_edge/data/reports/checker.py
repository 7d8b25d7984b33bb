"""Checker: does a text say what the facts are, all of them, and nothing else?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from acula_edge.data.reports.facts import Facts, denied
from acula_edge.data.reports.mentions import Reading, normal, read
from acula_edge.data.reports.plain import PLAIN


class Fault(StrEnum):
    """Why a text is not a report of the facts."""

    ERROR_TEXT = "error_text"  # the writer speaks of itself, or of a failure
    PROMPT_ECHO = "prompt_echo"
    LANGUAGE = "language"  # not English prose
    TRUNCATED = "truncated"
    LENGTH = "length"
    REPEATED = "repeated"
    NUMBER = "number"  # a number is new, changed or lost
    NEGATION = "negation"  # the opposite of a fact
    INVENTED = "invented"  # a concept or a word that the facts do not hold
    DROPPED = "dropped"


@dataclass(frozen=True)
class Objection:
    """A fault, and the words that show it."""

    fault: Fault
    detail: str


@dataclass(frozen=True)
class _Case:
    text: str
    template: str
    prompt: str
    facts: Facts
    reading: Reading


_ERROR_TEXT = re.compile(
    r"\bas an? (?:ai|language model|assistant)\b|\blanguage model\b|\bi(?:'m| am) (?:sorry|unable|an)\b|"
    r"\bi (?:cannot|can't|can not|could not|do not|don't)\b|\bsorry\b|\berror\b|\bexception\b|\btraceback\b|"
    r"\bundefined\b|\bnull\b|\bnan\b|\bplease\b|\bhere(?:'s| is| are)\b|\bsure[,!]|\bcertainly\b|<\||\|>|"
    r"```|\[insert|\brewrit|\bn a\b"
)
_ECHO_WORDS = 5
_MARGIN_WORDS = 25  # a paraphrase may be this much longer than twice its template
_DANGLING = re.compile(r"\b(?:and|or|of|the|a|an|with|in|over|is|are|to|for|by|on|at|no|without)[\s.,;:]*$")
_UNFINISHED = re.compile(r"[^.!?]$")


def check(text: str, facts: Facts, template: str, prompt: str = "") -> Objection | None:
    """The first objection to `text` as a report of `facts`; None if it is one.

    `template` is a report known to be right, for the length; `prompt` is what a writer was told, so that
    an echo of it is found.
    """
    case = _Case(text.strip(), template, prompt, facts, read(text, facts.literals))
    return next((found for found in (rule(case) for rule in _RULES) if found is not None), None)


def _error_text(case: _Case) -> Objection | None:
    found = _ERROR_TEXT.search(normal(case.text))
    return Objection(Fault.ERROR_TEXT, found[0]) if found else None


def _prompt_echo(case: _Case) -> Objection | None:
    told, own = (normal(part).split() for part in (case.prompt, case.template))
    known = _runs(told) - _runs(own)
    echo = sorted(known & _runs(normal(case.text).split()))
    return Objection(Fault.PROMPT_ECHO, " ".join(echo[0])) if echo else None


def _language(case: _Case) -> Objection | None:
    foreign = re.search(r"[^\x00-\x7f\u2010-\u2019]+", case.text)
    return Objection(Fault.LANGUAGE, foreign[0]) if foreign else None


def _length(case: _Case) -> Objection | None:
    words, usual = len(case.text.split()), len(case.template.split())
    if 1 <= words <= 2 * usual + _MARGIN_WORDS:
        return None
    return Objection(Fault.LENGTH, f"{words} words")


def _truncated(case: _Case) -> Objection | None:
    found = _UNFINISHED.search(case.text) or _DANGLING.search(case.text.lower())
    return Objection(Fault.TRUNCATED, case.text[-20:]) if found else None


def _repeated(case: _Case) -> Objection | None:
    sentences = Counter(part for part in re.split(r"[.!?]\s+", normal(case.text) + " ") if part)
    twice = [sentence for sentence, count in sentences.items() if count > 1]
    return Objection(Fault.REPEATED, twice[0]) if twice else None


def _number(case: _Case) -> Objection | None:
    age, numbers = case.facts.age, case.reading.numbers
    if age is None:
        return Objection(Fault.NUMBER, f"{numbers[0].value:g}") if numbers else None
    units = {"year", ""} if age.unit == "year" else {age.unit}
    wrong = [n for n in numbers if n.value != float(age.text) or n.unit not in units]
    if wrong or not numbers:
        return Objection(Fault.NUMBER, f"{wrong[0].value:g} {wrong[0].unit}".strip() if wrong else "no age")
    return None


def _negation(case: _Case) -> Objection | None:
    known = case.facts.said | case.facts.implied
    flipped = sorted(fact for fact in case.reading.facts if denied(fact) in known and fact not in known)
    return Objection(Fault.NEGATION, flipped[0]) if flipped else None


def _invented(case: _Case) -> Objection | None:
    new = sorted(case.reading.facts - case.facts.said - case.facts.implied)
    new += [word for word in case.reading.words if word not in PLAIN]
    return Objection(Fault.INVENTED, new[0]) if new else None


def _dropped(case: _Case) -> Objection | None:
    missing = sorted(case.facts.said - case.reading.facts)
    return Objection(Fault.DROPPED, missing[0]) if missing else None


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + _ECHO_WORDS]) for start in range(len(words) - _ECHO_WORDS + 1)}


_RULES: tuple[Callable[[_Case], Objection | None], ...] = (
    _prompt_echo,
    _error_text,
    _language,
    _length,
    _truncated,
    _repeated,
    _number,
    _negation,
    _invented,
    _dropped,
)
