"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

# The values of acula_edge.runtime.runner.Runtime, which imports numpy.
RuntimeName = Literal["pte", "tflite", "onnx"]

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
