"""Environment: the code and package versions that a result depends on."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel

from acula_edge.artifact import ArtifactKind, stage_key

PACKAGES = [
    "acula-edge",
    "numpy",
    "soundfile",
    "soxr",
    "torch",
    "torchao",
    "executorch",
    "transformers",
    "onnx",
    "onnxruntime",
    "litert-torch",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "ethos-u-vela",
    "neural-compressor",
    "scikit-learn",
    "optuna",
]

_ROOT = Path(__file__).resolve().parent.parent
_SHARED = (
    "acula_edge/artifact.py",
    "acula_edge/contract.py",
    "acula_edge/frontend.py",
    "acula_edge/logmel.py",
)
_SUFFIXES = {".py", ".j2", ".json", ".toml", ".c", ".h", ".ld"}
# The sources that a stage's result depends on: a change there, and only there, makes it run again.
_SOURCES: dict[ArtifactKind, tuple[str, ...]] = {
    ArtifactKind.DATASET: ("acula_edge/data",),
    ArtifactKind.TEACHER: (
        "acula_edge/data",
        "acula_edge/checkpoint.py",
        "acula_edge/determinism.py",
        "acula_edge/weights.py",
        "acula_edge/encoders",
        "acula_edge/language",
        "acula_edge/teacher",
    ),
    ArtifactKind.STUDENT: (
        "acula_edge/data",
        "acula_edge/checkpoint.py",
        "acula_edge/determinism.py",
        "acula_edge/ema.py",
        "acula_edge/encoders",
        "acula_edge/students",
        "distill",
    ),
    ArtifactKind.QUANTIZED: (
        "acula_edge/data",
        "acula_edge/checkpoint.py",
        "acula_edge/ema.py",
        "acula_edge/evidence",
        "acula_edge/students",
        "acula_edge/runtime",
        "quantize",
    ),
    ArtifactKind.BUNDLE: ("acula_edge/data", "acula_edge/runtime", "targets"),
    ArtifactKind.REPORT: (
        "acula_edge/data",
        "acula_edge/evidence",
        "acula_edge/encoders",
        "acula_edge/runtime",
        "acula_edge/bench",
    ),
    ArtifactKind.ADAPT_GRAPHS: ("acula_edge/data", "acula_edge/students", "distill"),
    ArtifactKind.ADAPTATION: ("acula_edge/data", "acula_edge/runtime", "acula_edge/students", "distill"),
    ArtifactKind.SEARCH: (
        "acula_edge/data",
        "acula_edge/checkpoint.py",
        "acula_edge/determinism.py",
        "acula_edge/ema.py",
        "acula_edge/evidence",
        "acula_edge/encoders",
        "acula_edge/students",
        "distill",
    ),
    ArtifactKind.EVALUATION: (
        "acula_edge/data",
        "acula_edge/evidence",
        "acula_edge/encoders",
        "acula_edge/language",
        "acula_edge/teacher",
        "acula_edge/evaluation",
    ),
}


@cache
def code_version(kind: ArtifactKind) -> str:
    """Digest of the sources that make an artifact of `kind`."""
    return sources_digest(*_SHARED, *_SOURCES[kind])


def sources_digest(*names: str) -> str:
    """Digest of source files and folders, named from the root of the packages."""
    digest = hashlib.sha256()
    for name in names:
        source = _ROOT / name
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for file in files:
            if file.suffix in _SUFFIXES:
                digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def key_of(kind: ArtifactKind, config: BaseModel, parents: Iterable[str]) -> str:
    """Key of the artifact of `kind` that this code makes with `config` from `parents` (digests)."""
    return stage_key(kind, config.model_dump(mode="json"), parents, code_version(kind))


def environment() -> dict[str, str]:
    """Python, package and processor versions, for a manifest; a package not installed is left out."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "processor": _processor()}
    found["cores"] = str(os.cpu_count())
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
