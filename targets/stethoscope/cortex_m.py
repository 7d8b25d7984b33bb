"""Cortex-M: the student as a .pte of ExecuTorch's operators for Cortex-M (CMSIS-NN). Not executed here.

The pinned ExecuTorch lowers it, but its wheel holds no kernels for a microcontroller: what is checked is the
lowered graph, by the Python twins of its operators.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ToolError
from targets.stethoscope.cores import Core

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from acula_edge.students.student import Student

Features = NDArray[np.float32]
_NAMESPACE = "cortex_m."
TOSA = "tosa-tools==2026.5.0"


@dataclass(frozen=True)
class Exported:
    """The .pte, its operators with their counts, and what the lowered graph gives for clips.

    `embedding` (n, E) and `logits` (n, K), float32.
    """

    program: bytes
    operators: dict[str, int]
    embedding: NDArray[np.float32]
    logits: NDArray[np.float32]

    @property
    def portable(self) -> tuple[str, ...]:
        """Operators that are not among the backend's own."""
        return tuple(name for name in self.operators if not name.startswith(_NAMESPACE))


def require_lowering() -> None:
    """Raises ToolError, with what mends it, where the lowering can not be imported."""
    if importlib.util.find_spec("tosa_serializer") is None:
        raise ToolError(
            "ExecuTorch's lowering for Cortex-M imports tosa_serializer, of a package that asks for an older "
            "numpy than ours; give it a folder of its own: pip install --no-deps --target FOLDER "
            f"{TOSA}, then run again with FOLDER in PYTHONPATH"
        )


def export_for(core: Core, student: Student, calibration: Features, clips: Features) -> Exported:
    """Quantise on `calibration` and lower, features (n, 1, n_mels, n_frames); run `clips` through the result.

    Raises ToolError if the lowering can not be imported.
    """
    require_lowering()
    from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.backends.cortex_m.target_config import CortexM, CortexMTargetConfig
    from executorch.exir import to_edge
    from torch.export import export

    quantised, first = _quantised(student, calibration)
    edge = to_edge(export(quantised, (first,)), compile_config=cortex_m_edge_compile_config())
    config = CortexMTargetConfig(CortexM[core.name.upper()])
    passes = CortexMPassManager(edge.exported_program(), CortexMPassManager.pass_list, target_config=config)
    lowered = passes.transform()
    edge._edge_programs["forward"] = lowered  # as the backend's own tests do: it has no partitioner
    operators = _operators(lowered)
    embedding, logits = _run(lowered, clips)
    return Exported(edge.to_executorch().buffer, operators, embedding, logits)


def _quantised(student: Student, calibration: Features) -> tuple[GraphModule, Any]:
    """The INT8 graph, and an input with the memory of its maps: channels last."""
    import torch
    from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    features = torch.from_numpy(calibration)
    first = features[:1].to(memory_format=torch.channels_last)
    graph = torch.export.export(student, (first,)).module(check_guards=False)
    prepared = prepare_pt2e(graph, CortexMQuantizer())
    with torch.no_grad():
        for clip in features:
            prepared(clip[None].to(memory_format=torch.channels_last))
    return convert_pt2e(prepared), first


def _run(lowered: ExportedProgram, clips: Features) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import torch

    graph = lowered.module(check_guards=False)
    with torch.no_grad():
        answers = [graph(torch.from_numpy(clip[None])) for clip in clips]
    embedding, logits = (np.concatenate([answer[i].numpy() for answer in answers]) for i in (0, 1))
    return embedding, logits


def _operators(lowered: ExportedProgram) -> dict[str, int]:
    """Counts by name; a place in memory is not an operator."""
    from executorch.exir.dialects.edge._ops import EdgeOpOverload

    calls = [node.target for node in lowered.graph.nodes if isinstance(node.target, EdgeOpOverload)]
    return dict(sorted(Counter(call._op.name().replace("::", ".") for call in calls).items()))
