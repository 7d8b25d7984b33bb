"""Scoring: logits of whole recordings, by a model file in its runtime or by the teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.bench.systems import LIBRARY, VARIANTS, Graph
from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.errors import DataError, ToolError
from acula_edge.frontend import log_mel
from acula_edge.progress import track
from acula_edge.runtime.runner import Form, Runner, open_runner

Floats = NDArray[np.float32]
Sound = tuple[Floats, int]  # mono samples (n,) with full scale 1.0, and their rate in Hz
Scorer = Callable[[Floats, int], Floats]  # a sound -> logits (K,)

LibraryOpener = Callable[[], Runner]  # compiles and loads a bundle's C library

DECIMALS = 6  # of a stored logit: far below one INT8 step


@dataclass(frozen=True)
class GraphScorer:
    """A model file as a scorer: the mean of the clips' logits."""

    runner: Runner
    form: Form
    contract: AudioContract

    @classmethod
    def open(cls, bundle: Artifact, graph: Graph) -> GraphScorer:
        """From a bundle. Raises ToolError if the runtime is not installed."""
        contract = AudioContract.of(bundle.manifest.contract)
        return cls(open_runner(bundle.file(graph.file)), graph.form, contract)

    def __call__(self, samples: Floats, rate_hz: int) -> Floats:
        """Logits (K,) of a recording of any length: samples (n,) with full scale 1.0."""
        pcm = clips_of(samples, rate_hz, self.contract)
        batch = pcm if self.form is Form.PCM else log_mel(pcm, self.contract)[:, None]
        return np.asarray(self.runner.run(batch).logits.mean(axis=0), dtype=np.float32)


def teacher_scorers(teacher: Artifact) -> dict[str, Scorer]:
    """A scorer for each variant that a Teacher artifact holds."""
    from acula_edge.encoders.teacher_model import TeacherModel

    held = teacher.read_json("teacher.json")["variants"]
    return {name: TeacherModel.open(teacher, name).logits for name in VARIANTS if name in held}


def library_scorer(
    bundle: Artifact, library: LibraryOpener | None
) -> tuple[dict[str, Scorer], tuple[str, ...]]:
    """A scorer by the C library of a bundle that has one, and warnings: one if there is no compiler."""
    if library is None:
        return {}, ()
    try:
        runner = library()
    except ToolError as error:
        return {}, (f"the C library was not run: {error}",)
    contract = AudioContract.of(bundle.manifest.contract)
    return {LIBRARY.name: GraphScorer(runner, Form.PCM, contract)}, ()


def clips_of(samples: Floats, rate_hz: int, contract: AudioContract) -> NDArray[np.int16]:
    """Clips (k, clip_samples) of a recording, as the device's microphone would give them."""
    return cut_clips(to_int16(resample(samples, rate_hz, contract.sample_rate_hz)), contract.clip_samples)


def score_all(
    sounds: Iterable[Sound], total: int, scorers: Mapping[str, Scorer], label: str
) -> dict[str, NDArray[np.float64]]:
    """Logits (n, K) of every scorer, rounded as they are stored; each sound is read once.

    `total` is how many sounds to expect. Raises DataError if there is none.
    """
    rows: dict[str, list[Floats]] = {name: [] for name in scorers}
    for samples, rate_hz in track(sounds, total, label):
        for name, scorer in scorers.items():
            rows[name].append(scorer(samples, rate_hz))
    if not all(rows.values()):
        raise DataError("not one recording could be read; look at the audio files")
    return {name: _stored(found) for name, found in rows.items()}


def _stored(rows: list[Floats]) -> NDArray[np.float64]:
    return np.asarray(np.round(np.stack(rows).astype(np.float64), DECIMALS), dtype=np.float64)
