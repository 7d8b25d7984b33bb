"""Golden vectors: real clips, and what every delivered graph gave for them when the bundle was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.spread import Clips
from acula_edge.frontend import log_mel
from acula_edge.runtime.golden import GOLDEN_GRAPHS, Golden
from acula_edge.runtime.runner import Form, open_runner

# The float reference through its runtime: the parity gate holds it to the eager student within 1e-4.
_FLOAT_FILE = "float.tflite"


def make_golden(quantized: Artifact, clips: Clips, contract: AudioContract) -> Golden:
    """Run `clips` through the float reference and through each INT8 file."""
    features = np.ascontiguousarray(log_mel(clips.pcm, contract)[:, None])
    batches: dict[Form, NDArray[Any]] = {Form.FEATURES: features, Form.PCM: clips.pcm}
    outputs = {"float": open_runner(quantized.file(_FLOAT_FILE)).run(features)}
    for graph in GOLDEN_GRAPHS:
        if graph.prefix not in outputs:
            outputs[graph.prefix] = open_runner(quantized.file(graph.file)).run(batches[graph.form])
    return Golden(clips.pcm, features, clips.recordings, outputs)


def write_golden(golden: Golden, path: Path) -> None:
    """Write golden.npz; equal vectors give equal bytes."""
    np.savez(path, allow_pickle=False, **golden.arrays())
