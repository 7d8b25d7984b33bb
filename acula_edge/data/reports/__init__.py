"""Reports: a few plain sentences for each recording, made of its metadata and of nothing else.

They are what the language model reads. Names, files, devices, sampling rates and source databases
stay out: they would teach the source instead of the finding.
"""

from __future__ import annotations

from collections.abc import Callable

from acula_edge.data.reports.case import Case, Values
from acula_edge.data.reports.chest import icbhi, kauh, sprsound
from acula_edge.data.reports.facts import Facts
from acula_edge.data.reports.heart import bmd_hs, pascal, physionet
from acula_edge.data.reports.other import cough, generic
from acula_edge.data.reports.styles import tell

_SETS: dict[str, Callable[[Values], Case]] = {
    "sprsound": sprsound,
    "kauh": kauh,
    "icbhi_mini": icbhi,
    "bmd_hs": bmd_hs,
    "pascal_hs": pascal,
    "physionet2016": physionet,
    "esc50_cough": cough,
}


def surface_forms(dataset: str, values: Values, n: int, seed: int = 0) -> tuple[str, ...]:
    """`n` differently phrased reports of one recording from its metadata (`SourceRow.values`).

    The first is the plain one; all say the same, and a part whose fields are not given is left out. A
    recording of which nothing clinical is known has none. Where the facts have fewer phrasings than
    `n`, reports repeat in turn.
    """
    case = _case(dataset, values)
    return tell(case, n, seed) if case.facts.known else ()


def clinical_report(dataset: str, values: Values) -> str:
    """The plain report of one recording; empty if nothing clinical is known."""
    return next(iter(surface_forms(dataset, values, 1)), "")


def clinical_facts(dataset: str, values: Values) -> Facts:
    """What the metadata of one recording says, for the checker."""
    return _case(dataset, values).facts


def _case(dataset: str, values: Values) -> Case:
    return _SETS.get(dataset, generic)(values)
