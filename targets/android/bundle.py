"""Documents of the Android bundle: README.md and two Kotlin files, generated from the facts."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from targets.facts import Facts, label_rows

_DOCUMENTS = ("README.md", "AculaContract.kt", "AculaRules.kt")
# The Android libraries, and the Python packages that have the same version.
_LIBRARIES = {"executorch": "executorch", "litert": "ai-edge-litert"}


def write(facts: Facts, folder: Path) -> None:
    """Write the documents into `folder`."""
    templates = Environment(
        loader=PackageLoader("targets.android", "."),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown and Kotlin, not HTML
    )
    values = {
        "facts": facts,
        "contract": facts.contract,
        "labels": facts.labels,
        "rows": label_rows(facts.labels),
        "decisions": facts.decisions.tasks,
        "versions": {name: facts.versions[package] for name, package in _LIBRARIES.items()},
    }
    for name in _DOCUMENTS:
        text = templates.get_template(f"{name}.j2").render(values)
        (folder / name).write_text(text, encoding="utf-8")
