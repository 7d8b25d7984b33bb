"""Dataset: the artifact of the data stage, opened for reading."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_float32, to_int16
from acula_edge.data.clips import clip_starts, cut_clips
from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import Task
from acula_edge.errors import ContractError
from acula_edge.frontend import learn_normalisation

RECORDINGS = "recordings.json"
TASKS = "tasks.json"
SOURCE = "source.json"
BROKEN = "broken.json"
AUDIT = "audit.json"
_HEARD_RECORDINGS = 256  # training recordings that another front end's normalisation is learned on


def audio_file(split: Split) -> str:
    """Name of the file with a split's samples: one flat int16 array, one recording after another."""
    return f"audio_{split}.npy"


@dataclass(frozen=True)
class Dataset:
    """Recordings with labels, reports and splits. A split's audio is opened when it is first asked for."""

    root: Path
    contract: AudioContract
    tasks: tuple[Task, ...]
    recordings: tuple[Recording, ...]
    simulated: bool
    _audio: dict[Split, NDArray[np.int16]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, artifact: Artifact) -> Dataset:
        """The Dataset that an artifact holds."""
        return cls(
            root=artifact.path,
            contract=AudioContract.of(artifact.manifest.contract),
            tasks=tuple(Task.model_validate(row) for row in artifact.read_json(TASKS)),
            recordings=tuple(Recording.from_json(row) for row in artifact.read_json(RECORDINGS)),
            simulated=bool(artifact.read_json(SOURCE)["simulated"]),
        )

    def of(self, *splits: Split) -> list[Recording]:
        """The recordings of the named splits, in the order of the metadata."""
        return [recording for recording in self.recordings if recording.split in splits]

    def pcm(self, recording: Recording) -> NDArray[np.int16]:
        """Samples (n_samples,) at the recording's own rate."""
        if recording.split not in self._audio:
            self._audio[recording.split] = np.load(self.root / audio_file(recording.split), mmap_mode="r")
        return self._audio[recording.split][recording.start : recording.start + recording.n_samples]

    def waveform(self, recording: Recording, rate_hz: int) -> NDArray[np.float32]:
        """Samples (n,) at `rate_hz`, full scale 1.0."""
        return resample(to_float32(self.pcm(recording)), recording.sample_rate_hz, rate_hz)

    def clips(self, recording: Recording) -> NDArray[np.int16]:
        """Clips (k, contract.clip_samples) at the contract's rate, as a device would record them."""
        samples = to_int16(self.waveform(recording, self.contract.sample_rate_hz))
        return cut_clips(samples, self.contract.clip_samples)

    def clips_at(self, recording: Recording, rate_hz: int) -> NDArray[np.int16]:
        """The same stretches of time as `clips`, in the band of another rate: (k, samples).

        Raises ContractError if a clip is no whole number of samples at `rate_hz`.
        """
        contract = self.contract
        if rate_hz == contract.sample_rate_hz:
            return self.clips(recording)
        samples, rest = divmod(contract.clip_samples * rate_hz, contract.sample_rate_hz)
        if rest:
            raise ContractError(
                f"a clip of {contract.clip_samples} samples at {contract.sample_rate_hz} Hz is no whole "
                f"number of samples at {rate_hz} Hz; choose another clip_samples"
            )
        n_own = self.waveform(recording, contract.sample_rate_hz).size
        heard = to_int16(self.waveform(recording, rate_hz))
        starts = [
            round(start * rate_hz / contract.sample_rate_hz)
            for start in clip_starts(n_own, contract.clip_samples)
        ]
        # A recording shorter than a clip repeats; so does one that is a sample short at this rate.
        return np.stack([heard.take(np.arange(start, start + samples), mode="wrap") for start in starts])

    def heard_with(self, contract: AudioContract) -> Dataset:
        """The same recordings under another front end, its normalisation learned anew on train.

        It is learned on at most 256 training recordings, evenly chosen in the order of the metadata, so
        that a search can afford it. The Dataset itself, if `contract` differs at most in its normalisation.
        """
        if _plain(contract) == _plain(self.contract):
            return self
        heard = replace(self, contract=contract)
        train = self.of(Split.TRAIN)
        chosen = train[:: -(-len(train) // _HEARD_RECORDINGS)] if train else []
        learned = learn_normalisation(map(heard.clips, chosen), contract)
        return replace(self, contract=contract.with_normalisation(learned))


def _plain(contract: AudioContract) -> dict[str, object]:
    return contract.model_dump(exclude={"normalisation"})
