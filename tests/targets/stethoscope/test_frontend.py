"""The front end in C and its twin, against the reference front end on real recordings."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import numpy as np
import pytest

from acula_edge.contract import Affine, AudioContract
from acula_edge.errors import ContractError
from acula_edge.frontend import log_mel
from targets.stethoscope.frontend import _logarithm, features, make_tables, radix_2_first
from targets.stethoscope.network import Grid
from tests.targets.stethoscope.host import Model, compile_host


@pytest.mark.parametrize("name", ["usual", "odd"])
def test_features_are_within_one_step(name: str, request: pytest.FixtureRequest) -> None:
    """Real clips, and the worst that a microphone gives: silence, full scale, one click."""
    model: Model = request.getfixturevalue(name)
    grid = model.firmware.network.features.grid
    rng = np.random.default_rng(0)
    loud = rng.choice(np.array([-32768, 32767], np.int16), model.contract.clip_samples)
    quiet = rng.integers(-2, 3, model.contract.clip_samples).astype(np.int16)
    click = np.zeros(model.contract.clip_samples, np.int16)
    click[1234] = -32768
    pcm = np.stack([*model.pcm, loud, quiet, click, np.zeros_like(click)])
    exact = log_mel(pcm, model.contract).astype(np.float64) / grid.scale + grid.zero_point
    expected = np.clip(np.rint(exact), -128, 127)
    off = np.abs(features(pcm, model.contract, model.firmware.tables) - expected)
    assert off.max() <= 1
    assert (off == 0).mean() >= 0.9999
    assert np.unique(expected).size > 100, "the clips must fill the grid"


@pytest.mark.parametrize("n_fft", [128, 256, 512, 1024, 2048])
def test_the_transform_has_every_length(n_fft: int) -> None:
    """Noise through lengths that begin with a step of two, and lengths that do not."""
    contract = AudioContract.make(n_fft=n_fft, window_samples=n_fft - 20, hop_samples=90, n_mels=20)
    contract = contract.with_normalisation(_affine(contract))
    grid = Grid(0.05, -3)
    pcm = np.random.default_rng(n_fft).integers(-9000, 9000, (1, contract.clip_samples)).astype(np.int16)
    found = features(pcm, contract, make_tables(contract, grid))
    expected = np.clip(np.rint(log_mel(pcm, contract) / grid.scale + grid.zero_point), -128, 127)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.001
    assert radix_2_first(contract) is (math.log2(n_fft / 2) % 2 == 1)


@pytest.mark.parametrize("name", ["usual", "whole"])
def test_the_twin_gives_the_bits_of_the_c_code(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model: Model = request.getfixturevalue(name)
    folder: Path = request.getfixturevalue(f"{name}_folder")
    shared = compile_host(folder, "clang", tmp_path / "lib.so", "-shared", "-fPIC", tests=False)
    code, contract = ctypes.CDLL(str(shared)), model.contract
    state = np.zeros((contract.window_samples + 2) * 2 + contract.n_fft * 4, np.uint8)
    samples = state[: contract.window_samples * 2].view(np.int16)
    made = np.zeros((contract.n_mels, contract.n_frames), np.int8)
    for clip, expected in zip(model.pcm[:4], model.features, strict=False):
        for frame in range(contract.n_frames):
            start = frame * contract.hop_samples
            samples[:] = clip[start : start + contract.window_samples]
            code.acula_frontend_frame(
                ctypes.c_void_p(state.ctypes.data),
                ctypes.c_int32(frame),
                ctypes.c_void_p(made.ctypes.data),
            )
        np.testing.assert_array_equal(made, expected)


def test_the_logarithm_is_within_two_units_of_the_last_place() -> None:
    x = np.exp(np.random.default_rng(0).uniform(-18.4, 12.0, 100_000)).astype(np.float32)
    exact = np.log(x.astype(np.float64))
    error = np.abs(_logarithm(x) - exact) / np.spacing(np.maximum(np.abs(exact), 1.0).astype(np.float32))
    assert error.max() < 2.0


def test_a_contract_without_normalisation_is_refused() -> None:
    with pytest.raises(ContractError, match="no normalisation"):
        make_tables(AudioContract(), Grid(0.1, 0))


def _affine(contract: AudioContract) -> Affine:
    return Affine(mean=(-8.0,) * contract.n_mels, std=(1.7,) * contract.n_mels)
