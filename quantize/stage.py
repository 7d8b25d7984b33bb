"""The quantize stage: a float student becomes INT8 .pte and .tflite files, features-in and PCM-in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.spread import Clips
from acula_edge.environment import environment, key_of
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.students.space import TextSpace
from quantize.choice import choose_clips
from quantize.config import QuantizeConfig
from quantize.fidelity import Sources
from quantize.proof import OPS, prove

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from acula_edge.students.student import Student
    from quantize.prepared import Prepared
    from quantize.tuning import Tuned

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

    Raises ContractError if student and Dataset disagree on the front end, and GateError if a bound of
    the proof is missed: the files are then kept for a look, beside `out`. A run that was killed while it
    tuned or trained goes on from there.
    """
    from acula_edge.students.float_files import hand_on
    from acula_edge.students.store import load_student

    contract = AudioContract.of(inputs.student.manifest.contract)
    dataset = Dataset.open(inputs.dataset)
    dataset.contract.require_equal(contract, "the student")
    student = load_student(inputs.student)
    choice, count = config.calibration.choice, config.calibration_clips
    calibration = choose_clips(choice, dataset, inputs.teacher, count, config.seed)
    work = work_dir(out)
    work.mkdir(parents=True, exist_ok=True)
    with ArtifactWriter(out) as writer:
        with _converting(work / _LOG):
            from quantize.export import export_all
            from quantize.preparation import Preparation

        tuned = Preparation(config, dataset, student, calibration, work).run()
        _write_grids(tuned, calibration, writer)
        say("quantize: converting to .pte, .tflite and .onnx")
        with _converting(work / _LOG):
            exported = export_all(student, tuned.prepared, calibration.pcm, contract, writer.path)
            _write_graph(exported.quantised, tuned.prepared, student, writer.path)
        hand_on(inputs.student, writer.path)
        writer.write_json(OPS, {name: table.to_json() for name, table in exported.ops.items()})
        space = TextSpace.open(inputs.student)
        network = tuned.prepared.network
        sources = Sources(exported.quantised, student, network, space, writer.path, inputs.teacher)
        prove(config, dataset, sources, writer, work / _REJECTED)
        description = _describe(config, inputs, contract).model_copy(update={"tensors": exported.tensors})
        return writer.commit(description)


def _write_graph(quantised: GraphModule, prepared: Prepared, student: Student, folder: Path) -> None:
    """What `bisect` walks: the INT8 graph, also as ONNX, and the float weights where they are its own."""
    from acula_edge.students.store import RETRAINED, save_weights
    from quantize.graph_file import save_graph
    from quantize.onnx_graph import save_onnx_graph

    save_graph(quantised, prepared.scheme, folder)
    save_onnx_graph(quantised, student, folder)
    if prepared.network is not student:
        save_weights(prepared.network, folder / RETRAINED)


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
