"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

# The values of acula_edge.runtime.runner.Runtime, which imports numpy.
RuntimeName = Literal["pte", "tflite", "onnx"]

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.", show_default=False)]
Model = Annotated[
    Path, typer.Argument(metavar="BUNDLE|QUANTIZED", help="Folder of a bundle or of its INT8 graphs.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Recordings folder with a metadata.csv. Without it, recordings are simulated."),
]
Work = Annotated[Path, typer.Option(help="Where each stage's result is kept, to be used again.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every stage.", min=0)]
