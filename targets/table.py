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
from targets.stethoscope.cortex_m import require_lowering
from targets.stethoscope.npu import NPUS, Npu
from targets.stethoscope.vela import require_vela

_NPU_CORE = CORES["m55"]  # the core beside an Ethos-U; its code runs on a Cortex-M85 too
Writer = Callable[[Facts, Path], None]


@dataclass(frozen=True)
class Target:
    """A kind of device: its runtimes, the model files it takes, and what writes the rest of its bundle.

    `integer_only`: its kernels take INT8 alone, so that no other scheme and no layer in float is for it.
    `core`: what the C library in the bundle is compiled and verified for. `require` raises ToolError if a
    tool that writes the bundle is missing. `back_ends`: whose kernels the C library can call.
    """

    name: str
    description: str
    runtimes: tuple[Runtime, ...]
    files: tuple[str, ...]
    write: Writer
    integer_only: bool = False
    core: Core | None = None
    require: Callable[[], None] = lambda: None
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


def _ethos_u(npu: Npu, facts: Facts, folder: Path) -> None:
    from targets.stethoscope import ethos_u
    from targets.stethoscope.addition import Addition
    from targets.stethoscope.bundle import write

    write(facts, folder, _NPU_CORE, Addition(npu.title, partial(ethos_u.write, npu)))


def _executorch(core: Core, facts: Facts, folder: Path) -> None:
    from targets.stethoscope import executorch
    from targets.stethoscope.addition import Addition
    from targets.stethoscope.bundle import write

    write(facts, folder, core, Addition("ExecuTorch", partial(executorch.write, core)))


def _firmware(
    name: str, description: str, core: Core, write: Writer, require: Callable[[], None] = lambda: None
) -> Target:
    return Target(
        name=name,
        description=description,
        runtimes=(Runtime.TFLITE, Runtime.ONNX),
        files=("model.tflite", "model_pcm.tflite", "model.onnx"),
        write=write,
        integer_only=True,
        core=core,
        require=require,
        back_ends=tuple(BackEnd),
    )


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
            _firmware(
                f"stethoscope-{core.name}",
                f"Stethoscope with {core.title}: C99 library, tested on an emulated board",
                core,
                partial(_stethoscope, core),
            )
            for core in CORES.values()
        ),
        *(
            _firmware(
                npu.name,
                f"Stethoscope with {_NPU_CORE.title} and {npu.title}: C99 library, network compiled by Vela",
                _NPU_CORE,
                partial(_ethos_u, npu),
                require_vela,
            )
            for npu in NPUS.values()
        ),
        *(
            _firmware(
                f"executorch-{core.name}",
                f"Stethoscope with {core.title}: C99 library, and a .pte for ExecuTorch, not executed here",
                core,
                partial(_executorch, core),
                require_lowering,
            )
            for core in CORES.values()
        ),
    )
}
