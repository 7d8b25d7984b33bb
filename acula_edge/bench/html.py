"""HTML: a report as one file, with nothing outside it."""

from __future__ import annotations

from importlib import resources

from acula_edge.bench.charts import accuracy_chart, latency_chart
from acula_edge.bench.report import Report
from acula_edge.bench.sections import Chart, sections
from acula_edge.errors import missing_extra

TEMPLATE = "report.html.j2"


def to_html(report: Report) -> str:
    """The whole report as one page. Raises ToolError if jinja2 is not installed."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError:
        raise missing_extra("jinja2", "build") from None
    source = resources.files("acula_edge.bench").joinpath(TEMPLATE).read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    drawings = {
        Chart.ACCURACY: accuracy_chart(report.accuracy),
        Chart.LATENCY: latency_chart(report.performance),
    }
    return template.from_string(source).render(report=report, sections=sections(report), drawings=drawings)
