"""HTML: a page as one file, with nothing outside it."""

from __future__ import annotations

from importlib import resources

from acula_edge.errors import missing_extra
from acula_edge.evidence.page import Page

TEMPLATE = "page.html.j2"


def to_html(page: Page) -> str:
    """The whole page. Raises ToolError if jinja2 is not installed."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError:
        raise missing_extra("jinja2", "build") from None
    source = resources.files("acula_edge.evidence").joinpath(TEMPLATE).read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return template.from_string(source).render(page=page)
