"""Markdown: a page or a table as text."""

from __future__ import annotations

from acula_edge.evidence.page import Page, Section
from acula_edge.evidence.tables import Cell, Table


def to_markdown(page: Page) -> str:
    """The whole page; its first line is the verdict."""
    head = [page.verdict, "", f"**{page.notice}**", ""]
    body = [line for section in page.sections for line in _section(section)]
    return "\n".join([*head, *body])


def table_lines(table: Table) -> list[str]:
    """A Markdown table, with its caption above it."""
    rule = ["---" if column < table.labels else "---:" for column in range(len(table.header))]
    rows = [_row([_cell(cell) for cell in row]) for row in table.rows]
    return [f"**{table.caption}**", "", _row(table.header), _row(rule), *rows, ""]


def _section(section: Section) -> list[str]:
    lines = [f"## {section.title}", ""]
    for paragraph in section.paragraphs:
        lines += [paragraph, ""]
    if section.points:
        lines += [*(f"- {point}" for point in section.points), ""]
    for table in section.tables:
        lines += table_lines(table)
    return lines


def _row(texts: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts) + " |"


def _cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.detail})" if cell.detail else cell.text
