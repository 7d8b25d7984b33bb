"""Page: a report's content, written down once for Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass

from acula_edge.evidence.tables import Table


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order; `chart` is SVG, which HTML alone shows."""

    title: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    chart: str = ""
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole report: the verdict is its first line, the notice its second."""

    title: str
    verdict: str
    notice: str
    simulated: bool
    sections: tuple[Section, ...]
