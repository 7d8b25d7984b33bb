"""Styles: the same case told as prose, as a telegram, as a note, or with its diagnosis first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count, cycle, islice
from random import Random

from acula_edge.data.reports.case import Case, joined, sentence

_TRIES = 40  # a case with few phrasings has no more different reports than this finds
_OPENING = {
    "lung sounds": "auscultation of the lungs",
    "heart sounds": "auscultation of the heart",
    "": "the recording",
}


def tell(case: Case, n: int, seed: int) -> tuple[str, ...]:
    """`n` reports of a case, the plain one first; nothing if there is nothing to tell.

    They differ as far as the case has phrasings; after that they repeat in turn.
    """
    if not case.today:
        return ()
    found = dict.fromkeys([case.today])
    for k in islice(count(), _TRIES):
        if len(found) >= n:
            break
        rng = Random(f"{seed} {k} {case.today}")
        found[_STYLES[k % len(_STYLES)](_Parts(case, rng))] = None
    return tuple(islice(cycle(found), n))


class _Parts:
    """One phrasing of each part of a case; an unknown part is empty."""

    def __init__(self, case: Case, rng: Random) -> None:
        def pick(phrases: Iterable[str]) -> str:
            return rng.choice([*phrases] or [""])

        self.who, self.site, self.finding = pick(case.people), pick(case.sites), pick(case.findings)
        self.diagnosis = pick(case.diagnoses)
        self.notes = case.notes
        self.opening = _OPENING[case.sounds]

    @property
    def place(self) -> str:
        """The opening with person and site, as far as they are known."""
        return self.opening + sentence(" of {}", self.who) + sentence(", {}", self.site)


def _prose(parts: _Parts) -> str:
    commas = "," if parts.site else ""
    heard = f"{parts.place}{commas} reveals {parts.finding}." if parts.finding else f"{parts.place}."
    return joined(_capital(heard), _diagnosed(parts), _noted(parts))


def _telegram(parts: _Parts) -> str:
    who = parts.who.removeprefix("a ").removeprefix("an ")
    diagnosis = sentence("dx {}", parts.diagnosis)
    return _capital("; ".join(filter(None, (who, parts.site, parts.finding, diagnosis, *parts.notes))) + ".")


def _note(parts: _Parts) -> str:
    subjective = ", ".join(filter(None, (parts.who, *parts.notes)))
    objective = ", ".join(filter(None, (parts.site, parts.finding)))
    return joined(
        sentence("S: {}.", subjective), sentence("O: {}.", objective), sentence("A: {}.", parts.diagnosis)
    )


def _diagnosis_first(parts: _Parts) -> str:
    return joined(
        sentence("Impression: {}.", parts.diagnosis),
        sentence("Findings: {}.", parts.finding),
        sentence("Site: {}.", parts.site),
        sentence("Patient: {}.", ", ".join(filter(None, (parts.who, *parts.notes)))),
    )


def _finding_first(parts: _Parts) -> str:
    place = parts.place if parts.who or parts.site else ""
    return joined(
        _capital(sentence("{}.", parts.finding)),
        _capital(sentence("{}.", place)),
        _diagnosed(parts),
        _noted(parts),
    )


def _diagnosed(parts: _Parts) -> str:
    return sentence(
        "There is {}." if parts.diagnosis.startswith("no ") else "The diagnosis is {}.", parts.diagnosis
    )


def _noted(parts: _Parts) -> str:
    return joined(*(f"Noted: {note}." for note in parts.notes))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_STYLES: tuple[Callable[[_Parts], str], ...] = (_prose, _telegram, _note, _diagnosis_first, _finding_first)
