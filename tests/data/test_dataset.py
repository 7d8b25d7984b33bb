"""A Dataset gives back what stood in the folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.errors import ContractError
from acula_edge.frontend import log_mel


@pytest.fixture(scope="module")
def dataset(mini_dataset: Artifact) -> Dataset:
    return Dataset.open(mini_dataset)


def native(folder: Path, recording: Recording) -> np.ndarray:
    samples, rate_hz = soundfile.read(folder / recording.path, dtype="int16")
    assert rate_hz == recording.sample_rate_hz
    return samples


def test_every_split_is_there_and_of_selects(dataset: Dataset) -> None:
    parts = [dataset.of(split) for split in Split]
    assert all(parts)
    assert sum(map(len, parts)) == len(dataset.recordings) == len(dataset.of(*Split))
    assert {recording.split for recording in dataset.of(Split.TRAIN, Split.VAL)} == {Split.TRAIN, Split.VAL}


def test_samples_are_the_files_own_bit_by_bit(dataset: Dataset, mini_folder: Path) -> None:
    for recording in dataset.recordings:
        assert np.array_equal(dataset.pcm(recording), native(mini_folder, recording))


def test_clips_are_the_recording_at_the_contracts_rate(dataset: Dataset, mini_folder: Path) -> None:
    contract = dataset.contract
    rates = {recording.sample_rate_hz: recording for recording in dataset.recordings}
    for rate_hz, recording in rates.items():
        samples = native(mini_folder, recording).astype(np.float32) / 32768
        expected = to_int16(resample(samples, rate_hz, contract.sample_rate_hz))
        clips = dataset.clips(recording)
        assert clips.dtype == np.int16
        assert np.array_equal(clips, cut_clips(expected, contract.clip_samples))


def test_waveform_at_its_own_rate_is_exact(dataset: Dataset) -> None:
    recording = dataset.recordings[0]
    wave = dataset.waveform(recording, recording.sample_rate_hz)
    assert wave.dtype == np.float32
    assert np.array_equal(wave * 32768, dataset.pcm(recording))


def test_only_the_split_that_is_asked_for_is_opened(mini_dataset: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / "dataset"
    shutil.copytree(mini_dataset.path, copy)
    dataset = Dataset.open(Artifact.open(copy))
    (copy / "audio_test.npy").unlink()
    assert dataset.clips(dataset.of(Split.TRAIN)[0]).size
    assert dataset.clips(dataset.of(Split.VAL)[0]).size
    with pytest.raises(FileNotFoundError):
        dataset.pcm(dataset.of(Split.TEST)[0])


def test_the_contract_carries_a_normalisation_learned_on_train(dataset: Dataset) -> None:
    features = np.concatenate(
        [log_mel(dataset.clips(recording), dataset.contract) for recording in dataset.of(Split.TRAIN)]
    )
    assert np.abs(features.mean(axis=(0, 2))).max() < 1e-3
    # A band that hardly moves is not blown up, so its deviation may be below one.
    assert features.std(axis=(0, 2)).max() == pytest.approx(1, abs=1e-3)


def _at(rate_hz: int, **changes: object) -> AudioContract:
    fields = {"window_samples": 128, "hop_samples": 64, "n_fft": 128, "n_mels": 24, "f_max_hz": 900}
    return AudioContract.make(**{"sample_rate_hz": rate_hz, "clip_samples": 5 * rate_hz, **fields, **changes})


def test_heard_with_another_front_end(dataset: Dataset) -> None:
    """The same recordings; clips and features of the other rate, normalised on training recordings."""
    heard = dataset.heard_with(_at(2000))
    assert heard.recordings == dataset.recordings
    assert heard.contract.sample_rate_hz == 2000
    recording = dataset.of(Split.VAL)[0]
    samples = to_int16(dataset.waveform(recording, 2000))
    assert np.array_equal(heard.clips(recording), cut_clips(samples, 10000))
    train = heard.of(Split.TRAIN)
    assert len(train) <= 256
    features = np.concatenate([log_mel(heard.clips(item), heard.contract) for item in train])
    assert np.abs(features.mean(axis=(0, 2))).max() < 1e-3
    assert features.std(axis=(0, 2)).max() == pytest.approx(1, abs=1e-3)


def test_the_own_front_end_keeps_its_normalisation(dataset: Dataset) -> None:
    plain = AudioContract.make(**dataset.contract.model_dump(exclude={"normalisation"}))
    assert plain.normalisation is None
    assert dataset.heard_with(plain) is dataset


def test_normalisation_of_many_recordings_is_learned_on_some(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acula_edge.data.dataset._HEARD_RECORDINGS", 10)
    heard_clips: list[str] = []
    clips = Dataset.clips

    def counted(self: Dataset, recording: Recording) -> np.ndarray:
        heard_clips.append(recording.id)
        return clips(self, recording)

    monkeypatch.setattr(Dataset, "clips", counted)
    dataset.heard_with(_at(2000))
    train = dataset.of(Split.TRAIN)
    assert 5 < len(heard_clips) <= 10
    named = {item.id: item for item in train}
    assert {named[name].dataset for name in heard_clips} > {train[0].dataset}  # not the first ten


@pytest.mark.parametrize("rate_hz", [1000, 2000, 8000, 11025])
def test_clips_at_another_rate_are_the_same_stretches(dataset: Dataset, rate_hz: int) -> None:
    contract = dataset.contract
    lengths = {len(dataset.clips(item)): item for item in dataset.of(Split.TRAIN)}
    short = min(dataset.of(Split.TRAIN), key=lambda item: item.seconds)
    for recording in (*lengths.values(), short):
        own, other = dataset.clips(recording), dataset.clips_at(recording, rate_hz)
        assert other.dtype == np.int16
        assert other.shape == (len(own), 8 * rate_hz)
        for clip, same in zip(own, other, strict=True):
            low = min(rate_hz, contract.sample_rate_hz) // 2
            first, second = (
                resample(part.astype(np.float32), hz, low)
                for part, hz in ((clip, contract.sample_rate_hz), (same, rate_hz))
            )
            middle = slice(low // 2, 7 * low)
            assert np.corrcoef(first[middle], second[middle])[0, 1] > 0.99
    assert np.array_equal(dataset.clips_at(short, contract.sample_rate_hz), dataset.clips(short))


def test_a_clip_that_is_no_whole_number_of_samples_is_refused(dataset: Dataset) -> None:
    heard = dataset.heard_with(_at(3000, clip_samples=10001))
    with pytest.raises(ContractError, match="is no whole number of samples at 4000 Hz"):
        heard.clips_at(dataset.recordings[0], 4000)
