"""Contest: the encoders of a teacher as systems, and the pairs of them that are asked about."""

from __future__ import annotations

from acula_edge.encoders.teacher_model import Variant
from acula_edge.evidence.accuracy import Panel, System

# Names for people, as they stand in a sentence.
TITLES: dict[str, str] = {
    Variant.BASE: "base encoder",
    Variant.ALIGNED: "aligned encoder",
    Variant.SHUFFLED: "shuffled-reports control",
    Variant.CONSTANT: "constant-report control",
    Variant.BAG_OF_WORDS: "bag-of-words control",
    Variant.SSL_ONLY: "self-supervision-only control",
}

CONTROLS: tuple[str, ...] = (Variant.SHUFFLED, Variant.CONSTANT, Variant.BAG_OF_WORDS, Variant.SSL_ONLY)


def panel(ran_in: str) -> Panel:
    """Every variant; aligned against base and each control, and each control against base."""
    against_controls = ((Variant.ALIGNED, name, f"reports, not the {TITLES[name]}") for name in CONTROLS)
    against_base = ((name, Variant.BASE, TITLES[name]) for name in CONTROLS)
    return Panel(
        tuple(System(str(name), title, ran_in) for name, title in TITLES.items()),
        ((Variant.ALIGNED, Variant.BASE, "alignment with reports"), *against_controls, *against_base),
    )
