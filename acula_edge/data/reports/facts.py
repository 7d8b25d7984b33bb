"""Facts: what the metadata says about one recording, in the words of `vocabulary`.

A fact is the name of a concept, `crackles`; with a minus sign, `-crackles`, it is denied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_CHILD_YEARS = 18
_INFANT_YEARS = 2
_ELDERLY_YEARS = 65


@dataclass(frozen=True)
class Age:
    """An age as a report gives it: `text` is the number, `unit` is year or month."""

    text: str
    unit: str

    @property
    def years(self) -> float:
        """The age in years."""
        return float(self.text) / (12 if self.unit == "month" else 1)

    @property
    def groups(self) -> frozenset[str]:
        """Concepts that the age implies."""
        young = {"child", "infant"} if self.years < _INFANT_YEARS else {"child"}
        old = {"adult", "elderly"} if self.years >= _ELDERLY_YEARS else {"adult"}
        return frozenset(young if self.years < _CHILD_YEARS else old)


@dataclass(frozen=True)
class Facts:
    """`said` must stand in a report, `implied` may. `literals` are phrases that only stand as they are."""

    said: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()
    age: Age | None = None
    literals: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is anything to report."""
        return bool(self.said or self.age)

    def with_implied(self, *implied: str) -> Facts:
        """These facts, and more that may be said."""
        return replace(self, implied=self.implied | set(implied))


def parse_age(text: str) -> Age | None:
    """Years as metadata gives them, 0 to 130, as an age; below one year in months. None for other text."""
    try:
        years = float(text)
    except ValueError:
        return None
    if not 0 <= years < 130:
        return None
    return Age(f"{years:g}", "year") if years >= 1 else Age(f"{round(12 * years)}", "month")


def denied(fact: str) -> str:
    """The opposite of a fact."""
    return fact.removeprefix("-") if fact.startswith("-") else f"-{fact}"
