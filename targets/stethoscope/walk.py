"""Walk: from a bundle's .tflite to its C library, on a clip, layer by layer and bit by bit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge import __version__
from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.errors import ArtifactError
from acula_edge.evidence.decisions import Decisions
from acula_edge.frontend import log_mel
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.hop import Difference, Hop
from targets.facts import Labels
from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.bundle import MODEL
from targets.stethoscope.frontend import features
from targets.stethoscope.host import Heard, Steps, compile_probe, hear
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.library import Excerpt, Firmware, library_files, make_firmware
from targets.stethoscope.lowering import read_network
from targets.stethoscope.network import Addition, Layer, Network, Value
from targets.stethoscope.verify import core_of

NAME = f"{MODEL} -> C library"
_FRONT_END_BOUND = 2.0  # steps, as for the other files: single precision rounds some features the other way
_MEASURE = "INT8 steps"


def walk(bundle: Artifact, pcm: NDArray[np.int16], names: Sequence[str] = ()) -> Hop:
    """The hop from LiteRT's reference kernels to C, compiled for this machine; PCM int16 (1, clip_samples).

    A stethoscope's own sources are taken, and generated for any other bundle. `names` are the layers of the
    student, where they are known. Raises ToolError without a compiler, GateError if it refuses the sources,
    and ArtifactError for a model that has no C form.
    """
    firmware = _firmware(bundle)
    with tempfile.TemporaryDirectory() as folder:
        library = bundle.path if core_of(bundle) else _written(firmware, Path(folder) / "library")
        heard = hear(compile_probe(library.resolve(), Path(folder)), firmware, pcm[0])
    return Hop(NAME, tuple(differences(bundle.file(MODEL), firmware, heard, pcm, names)))


def _firmware(bundle: Artifact) -> Firmware:
    if not bundle.has("labels.json"):
        raise ArtifactError(f"{bundle.path} is no bundle, and the library is generated from one")
    contract = AudioContract.of(bundle.manifest.contract)
    labels = Labels.model_validate(bundle.read_json("labels.json"))
    decisions = Decisions.model_validate(bundle.read_json("thresholds.json"))
    core = core_of(bundle)
    back_end = BackEnd(bundle.manifest.config.get("back_end", BackEnd.OWN))
    kernels = Kernels(back_end, core is not None and core.helium)
    network = read_network(bundle.file(MODEL))
    return make_firmware(network, contract, labels, decisions, __version__, kernels=kernels)


def _written(firmware: Firmware, folder: Path) -> Path:
    network = firmware.network
    unused = Excerpt(
        np.zeros(1, np.int16),
        np.zeros(network.embedding.size_bytes, np.int8),
        np.zeros(network.logits.size_bytes, np.int8),
    )
    for name, text in library_files(firmware, unused).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def differences(
    model: Path, firmware: Firmware, heard: Heard, pcm: NDArray[np.int16], names: Sequence[str] = ()
) -> Iterator[Difference]:
    """What a library made of a clip, against both front ends in Python and LiteRT layer by layer."""
    network, tables = firmware.network, firmware.tables
    expected = features(pcm, firmware.contract, tables)[0, :, :, None]
    yield _difference("front end", expected, heard.features, 0)
    grid = network.features.grid
    plain = np.rint(log_mel(pcm, firmware.contract)[0] / np.float32(grid.scale)) + grid.zero_point
    steps = np.clip(plain, -128, 127)[..., None]
    yield _difference("front end in float64", steps, heard.features, _FRONT_END_BOUND)
    references = _reference(model, network, heard.features)
    titles = _titles(network.layers, names)
    for title, reference, found in zip(titles, references, heard.results, strict=True):
        yield _difference(title, reference, found, 0)


def _difference(layer: str, expected: NDArray[np.generic], found: Steps, bound: float) -> Difference:
    """The largest one, over the frames that the library has heard."""
    wanted = expected[:, : found.shape[1]].astype(np.int64)
    return Difference(layer, _MEASURE, float(np.abs(wanted - found).max()), bound)


def _reference(model: Path, network: Network, heard: Steps) -> list[Steps]:
    """Each layer's result by LiteRT's reference kernels, for the features that the library heard."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with divert_output():
        interpreter = Interpreter(
            model_path=str(model),
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        interpreter.allocate_tensors()
    grid, (mels, frames, _) = network.features.grid, network.features.shape
    steps = np.full((mels, frames), grid.zero_point, np.int8)
    steps[:, : heard.shape[1]] = heard[..., 0]
    real = (steps.astype(np.float32) - np.float32(grid.zero_point)) * np.float32(grid.scale)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], real[None, None])
    interpreter.invoke()
    return [_tensor(interpreter, layer.result) for layer in network.layers]


def _tensor(interpreter: object, value: Value) -> Steps:
    # The lowering names a value after the tensor's place in the file.
    found: Steps = interpreter.get_tensor(int(value.name[1:])).reshape(value.shape)  # type: ignore[attr-defined]
    return found


def _titles(layers: Sequence[Layer], names: Sequence[str]) -> list[str]:
    """The student's names; a constant that is added is the bias of the layer before it."""
    titles: list[str] = []
    ahead = iter(names)
    for layer in layers:
        bias = isinstance(layer, Addition) and not isinstance(layer.other, Value)
        titles.append(titles[-1] if bias else next(ahead, layer.name))
    return titles if next(ahead, None) is None else [layer.name for layer in layers]
