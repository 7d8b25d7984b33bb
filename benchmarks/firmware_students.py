"""Trained students in INT8 for benchmarks/firmware.py, as the product's own stages make them."""

from __future__ import annotations

from pathlib import Path

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.progress import say
from distill import stage as distill
from distill.config import DistillConfig
from quantize import stage as quantize
from quantize.config import QuantizeConfig

EPOCHS = 30  # as in benchmarks/students.py


def quantised(family: str, dataset: Artifact, teacher: Artifact, work: Path) -> Artifact:
    """The family's student by the default lesson, then in INT8; what `work` has already is not made again."""
    student, made = work / f"student-{family}", work / f"quantized-{family}"
    if not student.is_dir():
        say(f"{family}: training")
        config = DistillConfig(student=family, epochs=EPOCHS)
        distill.run(config, distill.DistillInputs(teacher, dataset), student)
    if not made.is_dir():
        say(f"{family}: quantising")
        inputs = quantize.QuantizeInputs(Artifact.open(student, ArtifactKind.STUDENT), dataset, teacher)
        quantize.run(QuantizeConfig(), inputs, made)
    return Artifact.open(made, ArtifactKind.QUANTIZED)
