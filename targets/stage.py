"""The targets stage: a Quantized artifact becomes the bundle that a developer takes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, TensorSpec
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.environment import environment, key_of
from acula_edge.errors import ArtifactError
from acula_edge.evidence.decisions import Decisions
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from acula_edge.runtime.golden import GOLDEN
from targets.config import TargetConfig
from targets.facts import Facts, Labels
from targets.golden import make_golden, write_golden
from targets.table import Target, target

LABELS = "labels.json"
_CALIBRATION_CLIPS = 128
_EVIDENCE = (
    "ops.json",
    "parity.json",
    "fidelity.json",
    "gates.json",
    "thresholds.json",
    "graph.safetensors",
    "graph.onnx",
)


@dataclass(frozen=True)
class TargetInputs:
    """The INT8 graphs, and the Dataset with the golden clips and the meaning of the logits."""

    quantized: Artifact
    dataset: Artifact


def run(config: TargetConfig, inputs: TargetInputs, out: Path) -> Artifact:
    """Write the bundle of `config.name`.

    Raises ContractError if the graphs and the Dataset disagree on the front end, and ArtifactError if
    they disagree on the logits.
    """
    from acula_edge.students.float_files import hand_on
    from acula_edge.students.store import load_student

    chosen = target(config.name)
    quantized = inputs.quantized
    contract = AudioContract.of(quantized.manifest.contract)
    dataset = Dataset.open(inputs.dataset)
    dataset.contract.require_equal(contract, "the quantized model")
    labels = make_labels(dataset, quantized)
    clips = spread_clips(dataset, Split.VAL, config.golden_clips, config.seed)
    with ArtifactWriter(out) as writer:
        say(f"{config.name}: golden vectors of {len(clips.recordings)} clips")
        for name in (*chosen.files, *_EVIDENCE):
            shutil.copyfile(quantized.file(name), writer.path / name)
        hand_on(quantized, writer.path)
        writer.write_json(LABELS, labels.model_dump(mode="json"))
        write_golden(make_golden(quantized, clips, contract), writer.path / GOLDEN)
        facts = Facts(
            contract=contract,
            labels=labels,
            ops=quantized.read_json("ops.json"),
            parity=quantized.read_json("parity.json"),
            decisions=Decisions.model_validate(quantized.read_json("thresholds.json")),
            versions=environment(),
            files={name: (writer.path / name).stat().st_size for name in chosen.files},
            golden_clips=len(clips.recordings),
            back_end=config.back_end,
            student=partial(load_student, quantized),
            calibration=partial(_calibration, dataset, config.seed),
        )
        chosen.write(facts, writer.path)
        return writer.commit(_describe(config, inputs, contract, chosen))


def _calibration(dataset: Dataset, seed: int) -> NDArray[np.float32]:
    clips = spread_clips(dataset, Split.TRAIN, _CALIBRATION_CLIPS, seed)
    return np.ascontiguousarray(log_mel(clips.pcm, dataset.contract)[:, None])


def make_labels(dataset: Dataset, quantized: Artifact) -> Labels:
    """The meaning of the outputs. Raises ArtifactError if the tasks do not add up to the logits."""
    shapes = {spec.name: spec.shape for spec in quantized.manifest.tensors}
    n_logits = shapes["model.pte:logits"][-1]
    asked = sum(task.n_logits for task in dataset.tasks)
    if asked != n_logits:
        raise ArtifactError(
            f"{quantized.path} has {n_logits} logits, the Dataset's tasks need {asked}; distil again"
        )
    return Labels(
        tasks=dataset.tasks,
        embedding_dim=shapes["model.pte:embedding"][-1],
        n_logits=n_logits,
        simulated=dataset.simulated,
    )


def _describe(
    config: TargetConfig, inputs: TargetInputs, contract: AudioContract, chosen: Target
) -> Description:
    return Description(
        kind=ArtifactKind.BUNDLE,
        key=key_of(ArtifactKind.BUNDLE, config, [inputs.quantized.digest, inputs.dataset.digest]),
        parents=(inputs.quantized.parent, inputs.dataset.parent),
        contract=contract.model_dump(mode="json"),
        tensors=_delivered(inputs.quantized.manifest.tensors, chosen),
        config=config.model_dump(mode="json"),
        data=inputs.dataset.manifest.data,
        seed=config.seed,
        environment=environment(),
    )


def _delivered(tensors: tuple[TensorSpec, ...], chosen: Target) -> tuple[TensorSpec, ...]:
    return tuple(spec for spec in tensors if spec.name.split(":")[0] in chosen.files)
