"""`best.toml`: the build of what a search chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acula_edge.students.config import StudentConfig
from distill.search_space import Choice


def best_config(settings: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
    """The sections of a build's config: `settings`, with the front end and the student of `choice`."""
    contract = choice.contract().model_dump(mode="json", exclude={"normalisation"})
    data = {**settings.get("data", {}), "contract": contract}
    distill = {**settings.get("distill", {}), "student": _shape(choice.student())}
    return {**settings, "data": data, "distill": distill}


def _shape(student: StudentConfig) -> dict[str, Any]:
    blocks = [block.model_dump(mode="json", exclude_defaults=True) for block in student.blocks]
    return {**student.model_dump(mode="json", exclude={"blocks"}), "blocks": blocks}
