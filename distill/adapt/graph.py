"""Graph: the frozen trunk and the joint forward and backward graph, as .pte files."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge, to_edge_transform_and_lower
from torch.export.experimental import _export_forward_backward

from acula_edge.artifact import TensorSpec
from acula_edge.data.tasks import Task
from acula_edge.students.student import Student
from distill.adapt.config import LessonConfig
from distill.adapt.lesson import LessonGraph
from distill.adapt.names import ADAPT, TRUNK
from distill.adapt.tail import Tail, trunk_of


@dataclass(frozen=True)
class Graphs:
    """Both files' bytes, the tensors at their borders, and the bytes of memory that a batch needs.

    `planned_bytes` is the arena of `adapt.pte`, in which activations, gradients and weights lie.
    """

    trunk: bytes
    adapt: bytes
    tensors: tuple[TensorSpec, ...]
    planned_bytes: int


def export_graphs(student: Student, tasks: tuple[Task, ...], config: LessonConfig) -> Graphs:
    """Export `student`; the trunk takes one clip, the training graph `config.batch_size`.

    The weights of the training graph are state that its optimiser overwrites: no delegate can take it, and
    portable kernels run it.
    """
    trunk, tail = trunk_of(student), Tail(student)
    features = torch.zeros(1, 1, student.n_mels, student.n_frames)
    with torch.no_grad():
        one = trunk(features)
    batch = config.batch_size
    examples = (
        torch.zeros(batch, *one.shape[1:]),
        torch.ones(batch, student.config.embedding_dim),
        torch.zeros(batch, student.n_logits),
    )
    graph = torch.export.export(LessonGraph(tail, tasks, config), examples)
    program = to_edge(_export_forward_backward(graph)).to_executorch()
    planned = sum(program.executorch_program.execution_plan[0].non_const_buffer_sizes)
    lowered = to_edge_transform_and_lower(
        torch.export.export(trunk, (features,)), partitioner=[XnnpackPartitioner()]
    )
    borders = {
        f"{TRUNK}:features": features,
        f"{TRUNK}:map": one,
        **dict(zip((f"{ADAPT}:{name}" for name in ("maps", "embedding", "logits")), examples, strict=True)),
    }
    tensors = [
        TensorSpec(name=name, shape=tuple(tensor.shape), dtype="float32") for name, tensor in borders.items()
    ]
    return Graphs(lowered.to_executorch().buffer, program.buffer, tuple(tensors), planned)
