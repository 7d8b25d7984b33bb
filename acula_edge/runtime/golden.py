"""Golden vectors of a bundle: read them, and check that the runtimes here still give them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.errors import ArtifactError, GateError
from acula_edge.runtime.runner import Form, Outputs, Runtime, open_runner

GOLDEN = "golden.npz"


@dataclass(frozen=True)
class GoldenGraph:
    """A model file, and the prefix of its arrays in golden.npz."""

    file: str
    runtime: Runtime
    form: Form
    prefix: str


GOLDEN_GRAPHS: tuple[GoldenGraph, ...] = (
    GoldenGraph("model.pte", Runtime.PTE, Form.FEATURES, "pte"),
    GoldenGraph("model_pcm.pte", Runtime.PTE, Form.PCM, "pte_pcm"),
    GoldenGraph("model.tflite", Runtime.TFLITE, Form.FEATURES, "tflite"),
    GoldenGraph("model_pcm.tflite", Runtime.TFLITE, Form.PCM, "tflite_pcm"),
    GoldenGraph("model.onnx", Runtime.ONNX, Form.FEATURES, "float"),
)
# Bounds: INT8 outputs in steps of their grid. The same kernels give the same bits; kernels of another
# processor family may round a tie the other way, and a float front end may move an input by one step.
_STEPS = {Form.FEATURES: 1.0, Form.PCM: 2.0}
_FLOAT_BOUND = 1e-4


@dataclass(frozen=True)
class Golden:
    """Clips with their features, and the outputs of each graph by prefix.

    `pcm` int16 (g, clip_samples), `features` float32 (g, 1, n_mels, n_frames), `recordings` g ids.
    """

    pcm: NDArray[np.int16]
    features: NDArray[np.float32]
    recordings: tuple[str, ...]
    outputs: Mapping[str, Outputs]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As the arrays of golden.npz."""
        arrays: dict[str, NDArray[Any]] = {
            "pcm": self.pcm,
            "features": self.features,
            "recording": np.array(self.recordings),
        }
        for prefix, outputs in self.outputs.items():
            arrays |= {f"{prefix}_embedding": outputs.embedding, f"{prefix}_logits": outputs.logits}
        return arrays

    @classmethod
    def read(cls, path: Path) -> Golden:
        """Read golden.npz; a bundle may lack a graph. Raises ArtifactError if it can not be read."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                prefixes = {graph.prefix for graph in GOLDEN_GRAPHS if f"{graph.prefix}_embedding" in arrays}
                outputs = {
                    name: Outputs(arrays[f"{name}_embedding"], arrays[f"{name}_logits"])
                    for name in sorted(prefixes)
                }
                recordings = tuple(str(name) for name in arrays["recording"])
                return cls(arrays["pcm"], arrays["features"], recordings, outputs)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path} can not be read ({error}); build the bundle again") from None


@dataclass(frozen=True)
class Check:
    """Golden clips through one graph: the largest error over both outputs, in `unit`, and its bound."""

    runtime: Runtime
    form: Form
    clips: int
    max_abs_error: float
    bound: float
    unit: str
    note: str

    @property
    def passed(self) -> bool:
        """Whether the error keeps the bound; NaN does not."""
        return self.max_abs_error <= self.bound

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**self.__dict__, "passed": self.passed}


def verify_bundle(bundle: Artifact, runtimes: Sequence[Runtime]) -> list[Check]:
    """Run the golden clips through every graph of `runtimes`.

    The hashes are checked first, and GateError raised for a changed file: a runtime may crash on damaged
    bytes instead of refusing them. Raises ArtifactError if the bundle has no graph of `runtimes`, and what
    `open_runner` and `Golden.read` raise.
    """
    problems = bundle.verify()
    if problems:
        raise GateError(f"{bundle.path} is not as it was built: {'; '.join(problems)}")
    golden = Golden.read(bundle.file(GOLDEN))
    asked = [graph for graph in GOLDEN_GRAPHS if graph.runtime in runtimes and bundle.has(graph.file)]
    if not asked:
        raise ArtifactError(f"{bundle.path} holds no model file for {', '.join(runtimes)}")
    return [_check(bundle, golden, graph) for graph in asked]


def _check(bundle: Artifact, golden: Golden, graph: GoldenGraph) -> Check:
    if graph.prefix not in golden.outputs:
        raise ArtifactError(f"{bundle.path / GOLDEN} has no outputs of {graph.file}; build the bundle again")
    batch: NDArray[Any] = golden.features if graph.form is Form.FEATURES else golden.pcm
    found = open_runner(bundle.file(graph.file)).run(batch)
    expected = golden.outputs[graph.prefix]
    steps = {spec.name: spec.scale for spec in bundle.manifest.tensors}
    embedding_step = steps.get(f"{graph.file}:embedding")
    logits_step = steps.get(f"{graph.file}:logits")
    error = max(
        _largest(found.embedding - expected.embedding, embedding_step),
        _largest(found.logits - expected.logits, logits_step),
    )
    return Check(
        runtime=graph.runtime,
        form=graph.form,
        clips=len(golden.recordings),
        max_abs_error=error,
        bound=_FLOAT_BOUND if embedding_step is None else _STEPS[graph.form],
        unit="absolute" if embedding_step is None else "INT8 steps",
        note="bit-exact" if error == 0 else "",
    )


def _largest(difference: NDArray[np.float32], step: float | None) -> float:
    """Largest magnitude, in steps where there is a grid; rounded, as both sides are float32 products."""
    largest = float(np.abs(difference).max())
    return largest if step is None else round(largest / step, 3)
