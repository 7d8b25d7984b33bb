"""The table of targets: what `build --target` accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from acula_edge.errors import UsageError
from acula_edge.runtime.runner import Runtime
from targets.facts import Facts
from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.cores import CORES, Core


@dataclass(frozen=True)
class Target:
    """A kind of device: its runtimes, the model files it takes, and what writes the rest of its bundle.

    `back_ends`: whose kernels its code can call. `integer_only`: its kernels take INT8 alone, so that no
    other scheme and no layer in float is for it.
    """

    name: str
    description: str
    runtimes: tuple[Runtime, ...]
    files: tuple[str, ...]
    write: Callable[[Facts, Path], None]
    integer_only: bool = False
    back_ends: tuple[BackEnd, ...] = (BackEnd.OWN,)


def target(name: str) -> Target:
    """The target of that name. Raises UsageError, naming the valid ones, if there is none."""
    if name not in TARGETS:
        raise UsageError(f"there is no target {name}; the targets are: {', '.join(sorted(TARGETS))}")
    return TARGETS[name]


def _android(facts: Facts, folder: Path) -> None:
    from targets.android.bundle import write

    write(facts, folder)


def _stethoscope(core: Core, facts: Facts, folder: Path) -> None:
    from targets.stethoscope.bundle import write

    write(facts, folder, core)


TARGETS: dict[str, Target] = {
    entry.name: entry
    for entry in (
        Target(
            name="android",
            description="Android phones: INT8 .pte for ExecuTorch and INT8 .tflite for LiteRT",
            runtimes=(Runtime.PTE, Runtime.TFLITE, Runtime.ONNX),
            files=("model.pte", "model_pcm.pte", "model.tflite", "model_pcm.tflite", "model.onnx"),
            write=_android,
        ),
        *(
            Target(
                name=f"stethoscope-{core.name}",
                description=f"Stethoscope with {core.title}: C99 library, tested on an emulated board",
                runtimes=(Runtime.TFLITE, Runtime.ONNX),
                files=("model.tflite", "model_pcm.tflite", "model.onnx"),
                write=partial(_stethoscope, core),
                integer_only=True,
                back_ends=tuple(BackEnd),
            )
            for core in CORES.values()
        ),
    )
}
