"""A Dataset gives back what stood in the folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acula_edge.artifact import Artifact
from acula_edge.data.audio import resample, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split


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
    from acula_edge.frontend import log_mel

    features = np.concatenate(
        [log_mel(dataset.clips(recording), dataset.contract) for recording in dataset.of(Split.TRAIN)]
    )
    assert np.abs(features.mean(axis=(0, 2))).max() < 1e-3
    # A band that hardly moves is not blown up, so its deviation may be below one.
    assert features.std(axis=(0, 2)).max() == pytest.approx(1, abs=1e-3)
