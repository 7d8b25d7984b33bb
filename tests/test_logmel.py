"""LogMel in torch, .pte, .tflite and .onnx against the numpy front end, on recordings.

Bounds are absolute, on normalised features. Where the DFT takes the signal's differences, single precision
costs a thousandth of an INT8 step of the network's input at worst, and ten times that where it takes samples.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from acula_edge.contract import AudioContract
from acula_edge.frontend import learn_normalisation, log_mel, log_mel_module
from tests.recordings import clips

WORST_BOUND = {True: 5e-5, False: 5e-4}  # by whether the DFT takes differences
TYPICAL_BOUND = {True: 5e-6, False: 1e-4}  # on 999 of 1000 features

CONTRACTS = {
    "default": AudioContract(),
    "wide": AudioContract.make(
        sample_rate_hz=16000, window_samples=400, hop_samples=160, n_fft=512, n_mels=64, f_max_hz=8000.0
    ),
    "narrow": AudioContract.make(n_mels=20, f_min_hz=100.0, f_max_hz=800.0, log_floor=1e-6),
}


def learned(contract: AudioContract) -> AudioContract:
    return contract.with_normalisation(learn_normalisation((clip[None] for clip in clips()), contract))


def assert_close(
    features: NDArray[np.float32], reference: NDArray[np.float32], differences: bool = True
) -> None:
    assert features.shape == reference.shape
    error = np.abs(features - reference)
    assert error.max() < WORST_BOUND[differences]
    assert np.quantile(error, 0.999) < TYPICAL_BOUND[differences]


@pytest.mark.parametrize("name", CONTRACTS)
def test_torch_equals_numpy_on_recordings(name: str) -> None:
    contract = learned(CONTRACTS[name])
    module = log_mel_module(contract)
    features = module(torch.from_numpy(clips())).numpy()
    assert features.dtype == np.float32
    assert module.differences is (name != "wide"), "a DFT longer than its window needs samples"
    assert_close(features, log_mel(clips(), contract)[:, None], module.differences)


Graph = Callable[[NDArray[np.int16]], NDArray[np.float32]]


def pte_graph(module: torch.nn.Module, example: torch.Tensor, folder: Path) -> Graph:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program = torch.export.export(module, (example,))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path = folder / "frontend.pte"
    path.write_bytes(lowered.to_executorch().buffer)
    method = Runtime.get().load_program(path).load_method("forward")
    assert method is not None
    return lambda pcm: method.execute([torch.from_numpy(pcm)])[0].numpy().copy()


def tflite_graph(module: torch.nn.Module, example: torch.Tensor, folder: Path) -> Graph:
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    path = folder / "frontend.tflite"
    litert_torch.convert(module, (example,)).export(str(path))
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert source["dtype"] == np.int16

    def run(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        interpreter.set_tensor(source["index"], pcm)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run


def onnx_graph(module: torch.nn.Module, example: torch.Tensor, folder: Path) -> Graph:
    import onnxruntime

    path = folder / "frontend.onnx"
    torch.onnx.export(module, (example,), path, dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(path)
    (source,) = session.get_inputs()
    assert source.type == "tensor(int16)"
    return lambda pcm: session.run(None, {source.name: pcm})[0]


@pytest.mark.parametrize("make", [pte_graph, tflite_graph, onnx_graph])
def test_graph_equals_torch_and_numpy_on_recordings(make: Callable[..., Graph], tmp_path: Path) -> None:
    contract = learned(AudioContract())
    module = log_mel_module(contract).eval()
    graph = make(module, torch.from_numpy(clips()[:1]), tmp_path)
    features = np.concatenate([graph(clip[None]) for clip in clips()])
    assert features.dtype == np.float32
    with torch.no_grad():
        eager = np.concatenate([module(torch.from_numpy(clip[None])).numpy() for clip in clips()])
    assert_close(features, eager)
    assert_close(features, log_mel(clips(), contract)[:, None])
