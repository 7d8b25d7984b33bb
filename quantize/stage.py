"""The quantize stage: a float student becomes INT8 .pte and .tflite files, features-in and PCM-in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import Clips, spread_clips
from acula_edge.environment import environment, key_of
from acula_edge.errors import GateError
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Outputs
from acula_edge.students.space import TextSpace
from quantize import fidelity, parity
from quantize.choice import choose_clips, features_of
from quantize.config import QuantizeConfig
from quantize.fidelity import Trial
from quantize.hearing import hear

if TYPE_CHECKING:
    from acula_edge.students.student import Student
    from quantize.tuning import Tuned

OPS = "ops.json"
PARITY = "parity.json"
FIDELITY = "fidelity.json"
CALIBRATION = "calibration.json"
_LOG = "converters.log"
_REJECTED = "rejected"


@dataclass(frozen=True)
class QuantizeInputs:
    """The float student, and the Dataset with the calibration and parity clips.

    `teacher` knows the reports of the validation recordings, which no student keeps, and its embeddings may
    choose the calibration clips.
    """

    student: Artifact
    dataset: Artifact
    teacher: Artifact | None = None

    @property
    def given(self) -> tuple[Artifact, ...]:
        """The artifacts that the stage is given."""
        given = (self.student, self.dataset, self.teacher)
        return tuple(artifact for artifact in given if artifact is not None)


def run(config: QuantizeConfig, inputs: QuantizeInputs, out: Path) -> Artifact:
    """Write the Quantized artifact.

    Raises ContractError if student and Dataset disagree on the front end, and GateError if a parity bound
    is missed: the files are then kept for a look, beside `out`.
    """
    from acula_edge.students.float_files import hand_on
    from acula_edge.students.store import load_student

    contract = AudioContract.of(inputs.student.manifest.contract)
    dataset = Dataset.open(inputs.dataset)
    dataset.contract.require_equal(contract, "the student")
    student = load_student(inputs.student)
    calibration = choose_clips(
        config.calibration.choice, dataset, inputs.teacher, config.calibration_clips, config.seed
    )
    trial = _trial(dataset, config)
    work = work_dir(out)
    work.mkdir(parents=True, exist_ok=True)
    with ArtifactWriter(out) as writer:
        with _converting(work / _LOG):
            from quantize.preparation import Preparation
        tuned = Preparation(config, dataset, student, calibration, trial, work).run()
        _write_grids(tuned, calibration, writer)
        prepared = tuned.prepared
        say("quantize: converting to .pte, .tflite and .onnx")
        with _converting(work / _LOG):
            from quantize.export import export_all
            from quantize.graph_file import save_graph

            exported = export_all(student, prepared, calibration.pcm, contract, writer.path)
        hand_on(inputs.student, writer.path)
        writer.write_json(OPS, {name: table.to_json() for name, table in exported.ops.items()})
        _check_parity(config, student, trial, writer, work / _REJECTED)
        save_graph(exported.quantised, prepared.scheme, writer.path)
        space = TextSpace.open(inputs.student)
        sources = fidelity.Sources(exported.quantised, student, space, writer.path, inputs.teacher)
        _measure_fidelity(config, dataset, sources, trial, writer)
        description = _describe(config, inputs, contract).model_copy(update={"tensors": exported.tensors})
        return writer.commit(description)


def _trial(dataset: Dataset, config: QuantizeConfig) -> Trial:
    """Clips of validation recordings, as many as the config asks for."""
    clips = spread_clips(dataset, Split.VAL, config.parity_clips, config.seed)
    by_id = {recording.id: recording for recording in dataset.of(Split.VAL)}
    return Trial(clips, features_of(clips, dataset), tuple(by_id[name] for name in clips.recordings))


def _check_parity(
    config: QuantizeConfig, student: Student, trial: Trial, writer: ArtifactWriter, rejected: Path
) -> None:
    say("quantize: parity of every file with the eager student, each in its own runtime")
    files = parity.run_files(writer.path, trial.features, trial.clips)
    outputs = {parity.EAGER: eager(student, trial.features), **files}
    hops = parity.compare(outputs, trial.clips.recordings, config)
    writer.write_json(PARITY, _evidence(hops, outputs, trial.clips))
    _require(hops, writer.path, rejected)


def _measure_fidelity(
    config: QuantizeConfig,
    dataset: Dataset,
    sources: fidelity.Sources,
    trial: Trial,
    writer: ArtifactWriter,
) -> None:
    say("quantize: fidelity of every layer and of the embedding on validation recordings")
    found = fidelity.measure(sources, hear(writer.path, dataset), trial, config.seed)
    writer.write_json(FIDELITY, found.model_dump(mode="json"))


def _write_grids(tuned: Tuned, clips: Clips, writer: ArtifactWriter) -> None:
    """`calibration.json`: clips, choices, what each tensor held, and what QAT did; `tuning.jsonl`."""
    prepared = tuned.prepared
    found = {
        **tuned.calibration.model_dump(mode="json"),
        "scheme": prepared.scheme.model_dump(mode="json"),
        "clips": list(clips.recordings),
        "tensors": prepared.outliers,
        "qat": prepared.training.to_json() if prepared.training else None,
    }
    writer.write_json(CALIBRATION, found)
    if tuned.trials is not None:
        shutil.copyfile(tuned.trials, writer.path / tuned.trials.name)


def _evidence(hops: list[parity.Hop], outputs: dict[str, Outputs], trial: Clips) -> dict[str, Any]:
    return {
        "clips": list(trial.recordings),
        "different_clips_median_cosine": parity.different_clips(outputs[parity.EAGER]),
        "hops": [hop.to_json() for hop in hops],
    }


def eager(student: Student, features: NDArray[np.float32]) -> Outputs:
    """The student's own outputs, one clip at a time as on the device."""
    import torch

    with torch.no_grad():
        pairs = [student(torch.from_numpy(features[i : i + 1])) for i in range(len(features))]
    embedding, logits = (torch.cat(parts).numpy() for parts in zip(*pairs, strict=True))
    return Outputs(embedding, logits)


def _require(hops: list[parity.Hop], folder: Path, rejected: Path) -> None:
    try:
        parity.require(hops)
    except GateError as error:
        shutil.rmtree(rejected, ignore_errors=True)
        shutil.copytree(folder, rejected)
        raise GateError(f"{error}; the files are in {rejected}") from None


@contextlib.contextmanager
def _converting(log: Path) -> Iterator[None]:
    """The converters print pages; they go to `log`, whose end is shown if one of them fails."""
    log.unlink(missing_ok=True)
    try:
        with divert_output(log):
            yield
    except Exception:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        say("\n".join([*lines[-20:], f"quantize: a converter failed; its whole log is {log}"]))
        raise


def _describe(config: QuantizeConfig, inputs: QuantizeInputs, contract: AudioContract) -> Description:
    return Description(
        kind=ArtifactKind.QUANTIZED,
        key=key_of(ArtifactKind.QUANTIZED, config, [artifact.digest for artifact in inputs.given]),
        parents=tuple(artifact.parent for artifact in inputs.given),
        contract=contract.model_dump(mode="json"),
        config=config.model_dump(mode="json"),
        data=inputs.dataset.manifest.data,
        seed=config.seed,
        environment=environment(),
    )
