"""Proof: the evidence for INT8 files: parity, fidelity and gates, measured, written down and required."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import ArtifactWriter
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import Clips, spread_clips
from acula_edge.errors import GateError
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from acula_edge.runtime.runner import Outputs
from quantize import fidelity, gates, parity, thresholds
from quantize.config import QuantizeConfig
from quantize.fidelity import Sources, Trial
from quantize.hearing import hear

if TYPE_CHECKING:
    from torch import nn

OPS = "ops.json"
PARITY = "parity.json"
FIDELITY = "fidelity.json"
GATES = "gates.json"
THRESHOLDS = "thresholds.json"


def prove(
    config: QuantizeConfig, dataset: Dataset, sources: Sources, writer: ArtifactWriter, rejected: Path
) -> None:
    """Write parity.json, fidelity.json, thresholds.json and gates.json beside the files.

    Raises GateError if a bias overflows or a bound is missed: the files are then kept in `rejected`.
    """
    trial = _trial(dataset, config)
    with _kept(writer.path, rejected):
        _require_biases(sources)
        say("quantize: parity of every file with the eager student, each in its own runtime")
        outputs = _run_all(sources.student, trial, writer.path)
        hops = parity.compare(outputs, trial.clips.recordings, config)
        writer.write_json(PARITY, _parity_json(hops, outputs, trial.clips))
        parity.require(hops)
        say("quantize: fidelity of every layer and of the embedding on validation recordings")
        heard = hear(writer.path, dataset)
        found = fidelity.measure(sources, heard, trial, config.seed)
        writer.write_json(FIDELITY, found.model_dump(mode="json"))
        frozen = thresholds.freeze(config.thresholds, heard)
        writer.write_json(THRESHOLDS, frozen.model_dump(mode="json"))
        evidence = gates.Evidence(heard, found, _ops(writer.path), writer.path, config.seed)
        judged = gates.judge(config.gates, evidence)
        writer.write_json(GATES, judged.model_dump(mode="json"))
        gates.require(judged)


def eager(student: nn.Module, features: NDArray[np.float32]) -> Outputs:
    """The student's own outputs, one clip at a time as on the device."""
    import torch

    with torch.no_grad():
        pairs = [student(torch.from_numpy(features[i : i + 1])) for i in range(len(features))]
    embedding, logits = (torch.cat(parts).numpy() for parts in zip(*pairs, strict=True))
    return Outputs(embedding, logits)


def _trial(dataset: Dataset, config: QuantizeConfig) -> Trial:
    """Clips of validation recordings, as many as the config asks for."""
    clips = spread_clips(dataset, Split.VAL, config.parity_clips, config.seed)
    by_id = {recording.id: recording for recording in dataset.of(Split.VAL)}
    features = np.ascontiguousarray(log_mel(clips.pcm, dataset.contract)[:, None])
    return Trial(clips, features, tuple(by_id[name] for name in clips.recordings))


def _run_all(student: nn.Module, trial: Trial, folder: Path) -> dict[str, Outputs]:
    files = parity.run_files(folder, trial.features, trial.clips)
    return {parity.EAGER: eager(student, trial.features), **files}


def _require_biases(sources: Sources) -> None:
    from quantize.layers import layers_of
    from quantize.overflow import graph_biases, require_biases, tflite_biases

    layers = layers_of(sources.quantised)
    files = (sources.float_tflite, sources.folder / "model.tflite")
    require_biases("model.pte", graph_biases(sources.quantised))
    require_biases("model.tflite", tflite_biases(*files, layers))


def _parity_json(hops: list[parity.Hop], outputs: dict[str, Outputs], trial: Clips) -> dict[str, Any]:
    return {
        "clips": list(trial.recordings),
        "different_clips_median_cosine": parity.different_clips(outputs[parity.EAGER]),
        "hops": [hop.to_json() for hop in hops],
    }


def _ops(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / OPS).read_text(encoding="utf-8"))
    return found


@contextlib.contextmanager
def _kept(folder: Path, rejected: Path) -> Iterator[None]:
    """A gate that fails inside leaves the files, and the evidence so far, in `rejected`."""
    try:
        yield
    except GateError as error:
        shutil.rmtree(rejected, ignore_errors=True)
        shutil.copytree(folder, rejected)
        raise GateError(f"{error}; the files are in {rejected}") from None
