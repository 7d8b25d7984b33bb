"""Parity: every hop from the eager student to the INT8 files, each run by its own runtime on real clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.spread import Clips
from acula_edge.errors import GateError
from acula_edge.runtime.runner import Form, Outputs, open_runner
from quantize.config import QuantizeConfig

EAGER = "eager float"
# The files that run, and the form of their input.
FORMS: Mapping[str, Form] = {
    "float.pte": Form.FEATURES,
    "float.tflite": Form.FEATURES,
    "model.onnx": Form.FEATURES,
    "model.pte": Form.FEATURES,
    "model.tflite": Form.FEATURES,
    "model_pcm.pte": Form.PCM,
    "model_pcm.tflite": Form.PCM,
    "graph.onnx": Form.FEATURES,
}


@dataclass(frozen=True)
class Hop:
    """One comparison: the worst clip's figure and its bound (None: reported, not gated).

    `measure` is "max abs error" over both outputs or "embedding cosine", in which a short embedding counts as
    one of the median length; `recording` names the worst clip.
    """

    name: str
    measure: str
    worst: float
    median: float
    bound: float | None
    recording: str
    clips: int

    @property
    def passed(self) -> bool:
        """Whether the worst clip keeps the bound; NaN does not."""
        if self.bound is None:
            return True
        return self.worst <= self.bound if self.measure == _ERROR else self.worst >= self.bound

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**self.__dict__, "passed": self.passed}


_ERROR = "max abs error"
_COSINE = "embedding cosine"


def run_files(folder: Path, features: NDArray[np.float32], clips: Clips) -> dict[str, Outputs]:
    """Outputs of every model file in `folder` on the same clips."""
    batches: dict[Form, NDArray[Any]] = {Form.FEATURES: features, Form.PCM: clips.pcm}
    return {name: open_runner(folder / name).run(batches[form]) for name, form in FORMS.items()}


def compare(outputs: Mapping[str, Outputs], recordings: tuple[str, ...], config: QuantizeConfig) -> list[Hop]:
    """All hops; `outputs` holds those of the eager student and of every file in FORMS."""

    def error(one: str, other: str, bound: float | None) -> Hop:
        pairs = (
            (outputs[one].embedding, outputs[other].embedding),
            (outputs[one].logits, outputs[other].logits),
        )
        worst = np.max([np.abs(a - b).max(axis=1) for a, b in pairs], axis=0)
        return _hop(f"{one} = {other}", _ERROR, worst, int(np.argmax(worst)), bound, recordings)

    def cosine(one: str, other: str, bound: float | None) -> Hop:
        values = cosines(*_lengthened(outputs[one].embedding, outputs[other].embedding))
        return _hop(f"{one} = {other}", _COSINE, values, int(np.argmin(values)), bound, recordings)

    return [
        *(error(EAGER, name, config.max_float_error) for name in ("float.pte", "float.tflite", "model.onnx")),
        cosine("model.pte", "model.tflite", config.min_int8_cosine),
        cosine("model.pte", "graph.onnx", config.min_int8_cosine),
        cosine("model.pte", "model_pcm.pte", config.min_pcm_cosine),
        cosine("model.tflite", "model_pcm.tflite", config.min_pcm_cosine),
        cosine(EAGER, "model.pte", None),
        cosine(EAGER, "model.tflite", None),
    ]


def different_clips(outputs: Outputs) -> float:
    """Median cosine of the embeddings of different clips: what the cosines of one clip stand against."""
    n = len(outputs.embedding)
    one, other = np.triu_indices(n, 1)
    return float(np.median(cosines(outputs.embedding[one], outputs.embedding[other]))) if n > 1 else 1.0


def require(hops: list[Hop]) -> None:
    """GateError that names each hop that missed its bound, with its clip and figures."""
    failed = [hop for hop in hops if not hop.passed]
    if failed:
        parts = "; ".join(
            f"{hop.name}: {hop.measure} {hop.worst:.4g}, bound {hop.bound:g}, clip of {hop.recording}"
            for hop in failed
        )
        raise GateError(f"parity failed: {parts}")


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each pair of rows (n, E) -> (n,), in float64; NaN for a zero row."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)))


def _lengthened(
    one: NDArray[np.float32], other: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both (n, E + 1): a number behind each pair of rows makes one's as long as their median, if shorter.

    Rounding is as large for a short embedding, of which the student says little, as for a long one: the steps
    of the grid are those of the longest. The cosine of a short one alone would be about rounding.
    """
    lengths = np.linalg.norm(one, axis=1)
    missing = np.sqrt(np.maximum(np.median(lengths) ** 2 - lengths**2, 0.0))[:, None].astype(np.float32)
    return np.concatenate([one, missing], axis=1), np.concatenate([other, missing], axis=1)


def _hop(
    name: str,
    measure: str,
    values: NDArray[np.floating[Any]],
    worst: int,
    bound: float | None,
    recordings: tuple[str, ...],
) -> Hop:
    return Hop(
        name=name,
        measure=measure,
        worst=float(values[worst]),
        median=float(np.median(values)),
        bound=bound,
        recording=recordings[worst],
        clips=len(values),
    )
