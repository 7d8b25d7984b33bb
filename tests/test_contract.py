"""The audio contract refuses what can not work, and names the field."""

from __future__ import annotations

import json

import librosa
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from acula_edge.contract import Affine, AudioContract
from acula_edge.errors import ContractError
from acula_edge.frontend import mel_filterbank

UNIT = {"mean": [0.0] * 48, "std": [1.0] * 48}

INVALID = {
    "rate": ({"sample_rate_hz": 999}, "sample_rate_hz must be from 1000 to 96000"),
    "rate type": ({"sample_rate_hz": "fast"}, "sample_rate_hz: "),
    "hop 0": ({"hop_samples": 0}, "hop_samples must be from 1"),
    "hop over window": ({"hop_samples": 257}, "hop_samples must be from 1 to window_samples"),
    "fft no power of two": ({"n_fft": 384}, "n_fft must be a power of two"),
    "fft under window": ({"n_fft": 128}, "n_fft must be .* at least window_samples"),
    "clip": ({"clip_samples": 255}, "clip_samples must hold at least one window"),
    "window": ({"window_samples": 1, "hop_samples": 1}, "clip_samples must hold at least one window"),
    "f_min negative": ({"f_min_hz": -1.0}, "f_min_hz and f_max_hz"),
    "f_min over f_max": ({"f_min_hz": 1500.0, "f_max_hz": 1500.0}, "f_min_hz and f_max_hz"),
    "f_max over Nyquist": ({"f_max_hz": 2001.0}, "f_min_hz and f_max_hz .* sample_rate_hz / 2"),
    "f_min NaN": ({"f_min_hz": float("nan")}, "f_min_hz: Input should be a finite number"),
    "floor 0": ({"log_floor": 0.0}, "log_floor must be positive"),
    "floor infinite": ({"log_floor": float("inf")}, "log_floor: Input should be a finite number"),
    "no mel": ({"n_mels": 0}, "n_mels must be from 1"),
    "empty mel": ({"sample_rate_hz": 48000}, "n_mels 48 leaves mel band . .* a bin of the 256-point DFT"),
    "pcm": ({"pcm": "float32"}, "pcm: "),
    "unknown": ({"colour": 1}, "colour: Extra inputs"),
    "short mean": ({"normalisation": {**UNIT, "mean": [0.0]}}, "normalisation must give mean and std"),
    "zero std": ({"normalisation": {**UNIT, "std": [0.0] * 48}}, r"normalisation\.std must be positive"),
    "NaN mean": (
        {"normalisation": {**UNIT, "mean": [float("nan")] * 48}},
        "normalisation: mean: 0: .*finite",
    ),
}

contracts = st.builds(
    dict,
    sample_rate_hz=st.integers(4000, 48000),
    clip_samples=st.integers(512, 100_000),
    window_samples=st.integers(128, 512),
    hop_samples=st.integers(1, 128),
    n_fft=st.sampled_from([512, 1024]),
    n_mels=st.integers(1, 80),
    f_min_hz=st.floats(0.0, 500.0),
    f_max_hz=st.floats(500.5, 2000.0),
    log_floor=st.floats(1e-12, 1e-3),
)


@pytest.mark.parametrize(("fields", "sentence"), INVALID.values(), ids=INVALID)
def test_an_impossible_contract_is_refused_and_the_field_named(
    fields: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ContractError, match=f"^audio contract: {sentence}"):
        AudioContract.make(**fields)


def test_the_default_holds() -> None:
    contract = AudioContract.make()
    assert contract == AudioContract()
    assert contract.n_frames == 249
    assert contract.clip_seconds == 8.0
    assert (np.count_nonzero(mel_filterbank(contract), axis=1) >= 4).all()


@given(fields=contracts)
@pytest.mark.filterwarnings("ignore:Empty filters detected:UserWarning")
def test_a_contract_is_refused_exactly_when_librosa_has_an_empty_filter(fields: dict[str, float]) -> None:
    bank = librosa.filters.mel(
        sr=fields["sample_rate_hz"],
        n_fft=int(fields["n_fft"]),
        n_mels=int(fields["n_mels"]),
        fmin=fields["f_min_hz"],
        fmax=fields["f_max_hz"],
        dtype=np.float64,
    )
    peaks = bank.max(axis=1)
    assume(not ((peaks > 0) & (peaks < 1e-9)).any())  # an edge on a bin, to rounding
    if peaks.min() == 0:
        with pytest.raises(ContractError, match="without a bin"):
            AudioContract.make(**fields)
    else:
        np.testing.assert_allclose(mel_filterbank(AudioContract.make(**fields)), bank, rtol=1e-9, atol=1e-11)


@given(fields=contracts, seed=st.integers(0, 9))
def test_json_carries_a_contract_unchanged(fields: dict[str, float], seed: int) -> None:
    wide = {"n_mels": 1 + seed, "f_max_hz": 2000.0, "n_fft": 4096}
    contract = AudioContract.make(**{**fields, **wide})
    rng = np.random.default_rng(seed)
    affine = Affine(
        mean=tuple(rng.normal(size=contract.n_mels)), std=tuple(rng.uniform(1, 5, contract.n_mels))
    )
    learned = contract.with_normalisation(affine)
    carried = json.loads(json.dumps(learned.model_dump(mode="json")))
    again = AudioContract.of(carried)
    assert again == learned
    assert again.normalisation == affine
    learned.require_equal(again, "the copy")


def test_an_artifact_without_a_contract_is_refused() -> None:
    with pytest.raises(ContractError, match="carries no audio contract; build it again"):
        AudioContract.of(None)


def test_a_difference_names_each_field_with_both_values() -> None:
    one = AudioContract()
    other = AudioContract.make(hop_samples=64, n_mels=40)
    with pytest.raises(ContractError) as caught:
        one.require_equal(other, "student")
    assert str(caught.value) == (
        "student was made with another audio contract: hop_samples 128 / 64, n_mels 48 / 40"
    )


def test_another_normalisation_is_a_difference() -> None:
    one = AudioContract.make(normalisation=UNIT)
    with pytest.raises(ContractError, match=r"contract: normalisation$"):
        one.require_equal(AudioContract(), "student")


def test_a_contract_can_not_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        AudioContract().n_mels = 3  # type: ignore[misc]
