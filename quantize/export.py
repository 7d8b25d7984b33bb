"""Export: every model file of the Quantized artifact, from one student and its calibration clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule

from acula_edge.artifact import TensorSpec
from acula_edge.contract import AudioContract
from acula_edge.frontend import log_mel_module
from acula_edge.students.student import Student
from quantize import executorch, litert, onnx_export
from quantize.graphs import NamedFeatures, NamedPcm, WithFrontEnd
from quantize.ops import OpTable, Steps, tflite_ops, tflite_steps
from quantize.prepared import Prepared

# The float PCM graph is only the source of the INT8 one; it is not delivered.
_FLOAT_PCM = "float_pcm.tflite"


@dataclass(frozen=True)
class Exported:
    """Op table of each .pte and .tflite, the tensors at the border of every file, and the INT8 graph.

    `quantised` is the PT2E graph before it was lowered.
    """

    ops: dict[str, OpTable]
    tensors: tuple[TensorSpec, ...]
    quantised: GraphModule


def export_all(
    student: Student,
    prepared: Prepared,
    calibration: NDArray[np.int16],
    contract: AudioContract,
    folder: Path,
) -> Exported:
    """Write all model files into `folder`: the float ones of `student`, the others of `prepared`.

    `calibration` is PCM int16 (n, clip_samples), whose features `prepared` has heard.
    """
    source = _Source(student, prepared, contract, calibration)
    features = prepared.features
    quantised = executorch.quantise(prepared.network, features, prepared.scheme, prepared.ranges)
    pte_ops, pte_grid = _export_pte(source, quantised, folder), executorch.border_steps(quantised)
    tflite_table, tflite_grids = _export_tflite(source, folder)
    onnx_export.export(student, features[:1], folder / "model.onnx")
    grids = {"model.pte": pte_grid, "model_pcm.pte": pte_grid, **tflite_grids}
    files = (*pte_ops, *tflite_table, "model.onnx")
    tensors = [spec for file in files for spec in _border(file, student, contract, grids.get(file, {}))]
    return Exported({**pte_ops, **tflite_table}, tuple(tensors), quantised)


@dataclass(frozen=True)
class _Source:
    student: Student
    prepared: Prepared
    contract: AudioContract
    pcm: NDArray[np.int16]

    @property
    def one_clip(self) -> Tensor:
        return self.prepared.features[:1]

    @property
    def one_pcm(self) -> Tensor:
        return torch.from_numpy(self.pcm[:1])


def _export_pte(source: _Source, quantised: GraphModule, folder: Path) -> dict[str, OpTable]:
    # Quantised alone first: inside a larger module the quantizer would take the front end too.
    with_front_end = WithFrontEnd(log_mel_module(source.contract), quantised)
    lowered = {
        "float.pte": executorch.lower(source.student, forward=source.one_clip),
        "model.pte": executorch.lower(quantised, forward=source.one_clip),
        # ExecuTorch's Java API has no int16 tensors: an app gives the same samples as int32.
        "model_pcm.pte": executorch.lower(
            with_front_end, forward=source.one_pcm, forward_int32=source.one_pcm.to(torch.int32)
        ),
    }
    for name, result in lowered.items():
        (folder / name).write_bytes(result.program)
    return {name: result.ops for name, result in lowered.items()}


def _export_tflite(source: _Source, folder: Path) -> tuple[dict[str, OpTable], dict[str, dict[str, Steps]]]:
    prepared, features = source.prepared, source.prepared.features.numpy()
    grids = (prepared.scheme, prepared.sites, prepared.ranges)
    plain = litert.convert(NamedFeatures(source.student), "features", source.one_clip)
    # The same file, unless the INT8 files have weights of their own.
    trained = prepared.network is not source.student
    net = litert.convert(NamedFeatures(prepared.network), "features", source.one_clip) if trained else plain
    whole = NamedPcm(log_mel_module(source.contract), prepared.network)
    net_pcm = litert.convert(whole, "pcm", source.one_pcm)
    files = {
        "float.tflite": plain,
        **({"retrained.tflite": net} if trained else {}),
        "model.tflite": litert.quantise(net, "features", features, *grids),
        _FLOAT_PCM: net_pcm,
        "model_pcm.tflite": litert.quantise(net_pcm, "pcm", source.pcm, *grids),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sources = {"float.tflite": "float.tflite", "model.tflite": "float.tflite", "model_pcm.tflite": _FLOAT_PCM}
    ops = {name: tflite_ops(folder / before, folder / name) for name, before in sources.items()}
    steps = {name: tflite_steps(folder / name) for name in ("model.tflite", "model_pcm.tflite")}
    (folder / _FLOAT_PCM).unlink()
    return ops, steps


def _border(file: str, student: Student, contract: AudioContract, grid: dict[str, Steps]) -> list[TensorSpec]:
    """Input and outputs of a file, named `file:tensor`, in the file's order.

    `dtype` is the type at the border; `scale` and `zero_point` are those of the INT8 tensor behind it.
    """
    source = TensorSpec(name="features", shape=(1, 1, contract.n_mels, contract.n_frames), dtype="float32")
    if "_pcm" in file:
        source = TensorSpec(name="pcm", shape=(1, contract.clip_samples), dtype=contract.pcm)
    tensors = (
        source,
        TensorSpec(name="embedding", shape=(1, student.config.embedding_dim), dtype="float32"),
        TensorSpec(name="logits", shape=(1, student.n_logits), dtype="float32"),
    )
    specs = []
    for tensor in tensors:
        steps = grid.get(tensor.name)
        quantised = {"scale": steps.scale, "zero_point": steps.zero_point} if steps else {}
        specs.append(tensor.model_copy(update={"name": f"{file}:{tensor.name}", **quantised}))
    return specs
