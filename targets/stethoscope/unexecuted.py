"""Unexecuted: the files of a bundle that no machine here runs, each with what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from acula_edge.artifact import Artifact
from targets.stethoscope import ethos_u, executorch


@dataclass(frozen=True)
class Unexecuted:
    """A file whose hash is that of the manifest, its size, and a sentence."""

    file: str
    bytes: int
    note: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "executed": False}


def unexecuted(bundle: Artifact) -> tuple[Unexecuted, ...]:
    """The files that `bundle`, whose hashes were checked, holds."""
    return tuple(
        Unexecuted(name, bundle.file(name).stat().st_size, tell(bundle))
        for name, tell in _FILES.items()
        if bundle.has(name)
    )


def _npu(bundle: Artifact) -> str:
    found = bundle.read_json(f"{ethos_u.FOLDER}/{ethos_u.ESTIMATE}")
    return (
        f"not executed here; {found['kind']} for {found['accelerator']}: {found['inference_us'] / 1000:.2f} "
        f"ms a clip at {found['clock_hz'] / 1e6:g} MHz ({found['compiler']})"
    )


def _program(bundle: Artifact) -> str:
    found = bundle.read_json(f"{executorch.FOLDER}/{executorch.EVIDENCE}")
    return f"not executed here; for ExecuTorch on {found['core']}"


_FILES: dict[str, Callable[[Artifact], str]] = {
    f"{ethos_u.FOLDER}/{ethos_u.COMPILED}": _npu,
    f"{executorch.FOLDER}/{executorch.PROGRAM}": _program,
}
