"""Documents: the templates of the bundle's texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def templates() -> Environment:
    """The folder `files`; a name that a template uses and nobody gives is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # the base install verifies without it

    return Environment(
        loader=PackageLoader("targets.stethoscope", "files"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, C and make, not HTML
    )
