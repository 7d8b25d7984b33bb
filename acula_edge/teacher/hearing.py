"""Hearing: what the encoder is trained on: waveforms, or what its frozen trunk makes of them, once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_int16
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.teacher_model import embed_clips, hear_clips
from acula_edge.progress import track

_BATCH = 16


@dataclass(frozen=True)
class Hearing:
    """Training and validation recordings, in this order, as an encoder hears them in the device's band.

    `inputs` holds, for each recording, its int16 samples at the encoder's input rate, or the trunk's float16
    features (frames, ...), clip after clip; `rate_hz` is how many of them make a second of the recording.
    """

    dataset: Dataset
    recordings: Sequence[Recording]
    inputs: tuple[NDArray[Any], ...]
    rate_hz: float

    @property
    def cached(self) -> bool:
        """Whether the inputs are the trunk's features."""
        return self.inputs[0].dtype != np.int16

    @property
    def train_and_val(self) -> tuple[slice, slice]:
        """Where the training recordings stand, and the validation recordings after them."""
        n_train = sum(recording.split is Split.TRAIN for recording in self.recordings)
        return slice(n_train), slice(n_train, None)

    def embed(self, encoder: AudioEncoder, index: int) -> NDArray[np.float32]:
        """Embeddings (k, dim) of the k clips of one recording."""
        clips = self.dataset.clips(self.recordings[index])
        if not self.cached:
            return embed_clips(encoder, clips, self.dataset.contract)
        hidden = np.array(self.inputs[index]).reshape(len(clips), -1, *self.inputs[index].shape[1:])
        encoder.eval()
        with torch.no_grad():
            embeddings = encoder.pool(encoder.top(torch.from_numpy(hidden).float()))
        return np.asarray(embeddings.numpy(), dtype=np.float32)


def hear_waveforms(dataset: Dataset, recordings: Sequence[Recording], encoder: AudioEncoder) -> Hearing:
    """Every recording whole."""
    contract, rate_hz = dataset.contract, encoder.input_rate_hz
    progress = track(recordings, len(recordings), "audio")
    waveforms = (dataset.waveform(item, contract.sample_rate_hz) for item in progress)
    inputs = tuple(to_int16(resample(wave, contract.sample_rate_hz, rate_hz)) for wave in waveforms)
    return Hearing(dataset, recordings, inputs, float(rate_hz))


def hear_trunk(
    dataset: Dataset, recordings: Sequence[Recording], encoder: AudioEncoder, work: Path
) -> Hearing:
    """The trunk's features of every clip; they lie in `work / "trunk"` and are memory-mapped.

    A recording that is there already is not computed again.
    """
    folder = work / "trunk"
    folder.mkdir(parents=True, exist_ok=True)
    progress = track(recordings, len(recordings), "trunk")
    inputs = tuple(
        _trunk_of(dataset.clips(item), dataset.contract, encoder, folder / f"{index}.npy")
        for index, item in enumerate(progress)
    )
    contract = dataset.contract
    n_clips = len(dataset.clips(recordings[0]))
    seconds = n_clips * contract.clip_samples / contract.sample_rate_hz
    return Hearing(dataset, recordings, inputs, len(inputs[0]) / seconds)


def _trunk_of(
    clips: NDArray[np.int16], contract: AudioContract, encoder: AudioEncoder, file: Path
) -> NDArray[np.float16]:
    """Features (k * T, ...) of k clips, memory-mapped."""
    if not file.is_file():
        encoder.eval()
        waveforms = hear_clips(encoder, clips, contract)
        with torch.no_grad():
            parts = [encoder.trunk(batch).half().numpy() for batch in torch.split(waveforms, _BATCH)]
        aside = file.with_suffix(f".{os.getpid()}.writing")
        with aside.open("wb") as stream:
            np.save(stream, np.concatenate([frames for part in parts for frames in part]))
        aside.replace(file)
    features: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return features
