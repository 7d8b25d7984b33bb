"""Export: every model file of the Quantized artifact, from one student and its calibration clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule

from acula_edge.artifact import TensorSpec
from acula_edge.contract import AudioContract
from acula_edge.frontend import log_mel, log_mel_module
from acula_edge.students.student import Student
from quantize import executorch, litert, onnx_export
from quantize.graphs import NamedFeatures, NamedPcm, WithFrontEnd
from quantize.ops import OpTable, Steps, tflite_ops, tflite_steps

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
    student: Student, calibration: NDArray[np.int16], contract: AudioContract, folder: Path
) -> Exported:
    """Write all model files into `folder`; `calibration` is PCM int16 (n, clip_samples)."""
    features = np.ascontiguousarray(log_mel(calibration, contract)[:, None])
    quantised = executorch.quantise(student, torch.from_numpy(features))
    pte_ops = _export_pte(student, quantised, features, calibration, contract, folder)
    pte_grid = executorch.border_steps(quantised)
    tflite_table, tflite_grids = _export_tflite(student, features, calibration, contract, folder)
    onnx_export.export(student, torch.from_numpy(features[:1]), folder / "model.onnx")
    grids = {"model.pte": pte_grid, "model_pcm.pte": pte_grid, **tflite_grids}
    files = (*pte_ops, *tflite_table, "model.onnx")
    tensors = [spec for file in files for spec in _border(file, student, contract, grids.get(file, {}))]
    return Exported({**pte_ops, **tflite_table}, tuple(tensors), quantised)


def _export_pte(
    student: Student,
    quantised: GraphModule,
    features: NDArray[np.float32],
    pcm: NDArray[np.int16],
    contract: AudioContract,
    folder: Path,
) -> dict[str, OpTable]:
    # Quantised alone first: inside a larger module the quantizer would take the front end too.
    with_front_end = WithFrontEnd(log_mel_module(contract), quantised)
    one_clip, one_pcm = torch.from_numpy(features[:1]), torch.from_numpy(pcm[:1])
    lowered = {
        "float.pte": executorch.lower(student, forward=one_clip),
        "model.pte": executorch.lower(quantised, forward=one_clip),
        # ExecuTorch's Java API has no int16 tensors: an app gives the same samples as int32.
        "model_pcm.pte": executorch.lower(
            with_front_end, forward=one_pcm, forward_int32=one_pcm.to(torch.int32)
        ),
    }
    for name, result in lowered.items():
        (folder / name).write_bytes(result.program)
    return {name: result.ops for name, result in lowered.items()}


def _export_tflite(
    student: Student,
    features: NDArray[np.float32],
    pcm: NDArray[np.int16],
    contract: AudioContract,
    folder: Path,
) -> tuple[dict[str, OpTable], dict[str, dict[str, Steps]]]:
    net = litert.convert(NamedFeatures(student), "features", torch.from_numpy(features[:1]))
    net_pcm = litert.convert(NamedPcm(log_mel_module(contract), student), "pcm", torch.from_numpy(pcm[:1]))
    files = {
        "float.tflite": net,
        "model.tflite": litert.quantise(net, "features", features),
        _FLOAT_PCM: net_pcm,
        "model_pcm.tflite": litert.quantise(net_pcm, "pcm", pcm),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sources = {"float.tflite": "float.tflite", "model.tflite": "float.tflite", "model_pcm.tflite": _FLOAT_PCM}
    ops = {name: tflite_ops(folder / source, folder / name) for name, source in sources.items()}
    grids = {name: tflite_steps(folder / name) for name in ("model.tflite", "model_pcm.tflite")}
    (folder / _FLOAT_PCM).unlink()
    return ops, grids


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
