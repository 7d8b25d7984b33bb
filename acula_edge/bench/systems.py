"""Systems: what is compared, in the order of the reports, and which pairs are asked about."""

from __future__ import annotations

from dataclasses import dataclass

from acula_edge.artifact import Artifact
from acula_edge.evidence.accuracy import Panel, System
from acula_edge.runtime.runner import Form, Runtime


@dataclass(frozen=True)
class Graph:
    """A model file of a bundle as a system: what runs it and what it is fed."""

    runtime: Runtime
    file: str
    form: Form
    system: System


VARIANTS: dict[str, System] = {
    "base": System("base", "Base encoder", "PyTorch"),
    "shuffled": System("shuffled", "Shuffled-report control", "PyTorch"),
    "aligned": System("aligned", "Aligned teacher", "PyTorch"),
}

GRAPHS: tuple[Graph, ...] = (
    Graph(Runtime.ONNX, "model.onnx", Form.FEATURES, System("student", "Student, float32", "ONNX Runtime")),
    Graph(Runtime.PTE, "model_pcm.pte", Form.PCM, System("int8_pte", "Student, INT8 .pte", "ExecuTorch")),
    Graph(
        Runtime.TFLITE, "model_pcm.tflite", Form.PCM, System("int8_tflite", "Student, INT8 .tflite", "LiteRT")
    ),
)

# The C library of a stethoscope: no file of the bundle, but what a compiler makes of its sources.
LIBRARY = System("int8_c", "Student, INT8 C library", "C on this machine")

SYSTEMS: tuple[System, ...] = (*VARIANTS.values(), *(graph.system for graph in GRAPHS), LIBRARY)

PANEL = Panel(
    systems=SYSTEMS,
    comparisons=(
        ("aligned", "base", "alignment with reports"),
        ("shuffled", "base", "the same training with shuffled reports"),
        ("aligned", "shuffled", "the reports' meaning"),
        ("student", "aligned", "distillation"),
        ("int8_pte", "student", "INT8, .pte"),
        ("int8_tflite", "student", "INT8, .tflite"),
        ("int8_c", "student", "INT8, C library"),
        ("int8_pte", "int8_tflite", ".pte against .tflite"),
        ("int8_c", "int8_tflite", "C library against .tflite"),
    ),
)
# The rules were frozen on the student's scores: they say nothing of another model's.
DECIDING = Panel(systems=(*(graph.system for graph in GRAPHS), LIBRARY), comparisons=())


def graphs_in(bundle: Artifact) -> tuple[Graph, ...]:
    """The model files that a bundle holds, in the order of the reports."""
    return tuple(graph for graph in GRAPHS if bundle.has(graph.file))


def graph_of(runtime: Runtime) -> Graph:
    """The model file of a bundle that a runtime is asked to run on whole recordings."""
    return next(graph for graph in GRAPHS if graph.runtime is runtime)
