"""A device for the tests: a bundle whose last layers were spoiled, and its recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.students.store import load_student, save_student
from distill.adapt.config import AdaptConfig, LessonConfig
from distill.adapt.names import MODEL, MODEL_PCM
from distill.adapt.requantise import requantise
from distill.adapt.tail import Tail
from distill.adapt.tflite_file import TfliteFile

RECORDINGS = 40
CONFIG = AdaptConfig(lesson=LessonConfig(batch_size=8), epochs=4, learning_rate=0.02)


def spoil(bundle: Artifact, out: Path, noise: float) -> Artifact:
    """The bundle with noise in its last layers, float student and .tflite files alike."""
    student = load_student(bundle)
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in (student.embedding.weight, student.head.weight):
            weights += noise * weights.std() * torch.randn(weights.shape, generator=drawn)
    layers = Tail(student).layers()
    with ArtifactWriter(out) as writer:
        bundle.copy_files(writer.path)
        save_student(writer.path, student)
        for name in (MODEL, MODEL_PCM):
            file = TfliteFile(bundle.file(name), [layer.kind for layer in layers])
            quantised = [requantise(layer, site) for layer, site in zip(layers, file.sites, strict=True)]
            (writer.path / name).write_bytes(file.patched(quantised))
        own = {name: getattr(bundle.manifest, name) for name in Description.model_fields}
        return writer.commit(Description(**{**own, "kind": ArtifactKind.BUNDLE}))


def some_recordings(source: Path, folder: Path) -> Path:
    """Audio files of a device, without a word about them."""
    files = sorted(file for file in source.rglob("*") if file.suffix in {".flac", ".wav"})
    for index, file in enumerate(files[:: max(1, len(files) // RECORDINGS)]):
        shutil.copyfile(file, folder / f"{index:03}{file.suffix}")
    return folder
