"""Hearing: the recordings of a device as the student hears them, and what a larger bundle says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.contract import AudioContract
from acula_edge.data.audio import read_audio, resample, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.errors import ArtifactError, DataError
from acula_edge.progress import say, track
from acula_edge.runtime.runner import Outputs, Runner, open_runner
from acula_edge.students.space import TextSpace
from distill.adapt.names import MODEL_PCM

_SAME_DIRECTION = 1e-3
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """A recording: its clips, int16 (k, clip_samples), and the teacher's answers to each of them."""

    pcm: NDArray[np.int16]
    taught: Outputs


@dataclass(frozen=True)
class BundleTeacher:
    """A larger bundle, run as the phone runs it. It hears all of each clip that the student hears."""

    runner: Runner
    contract: AudioContract

    @classmethod
    def open(cls, bundle: Artifact, student: Artifact) -> BundleTeacher:
        """The teacher of `student`; ArtifactError if they do not answer the same tasks in one space."""
        if bundle.read_json("labels.json")["tasks"] != student.read_json("labels.json")["tasks"]:
            raise ArtifactError(f"{bundle.path} answers other tasks than {student.path}; take another")
        own, other = TextSpace.open(student).basis, TextSpace.open(bundle).basis
        nested = own.shape[0] == other.shape[0] and own.shape[1] <= other.shape[1]
        if not nested or np.abs(own - other[:, : own.shape[1]]).max() > _SAME_DIRECTION:
            raise ArtifactError(
                f"{bundle.path} and {student.path} were not distilled from one teacher, or the first has the "
                "shorter embedding; take a larger bundle of the same teacher"
            )
        return cls(open_runner(bundle.file(MODEL_PCM)), AudioContract.of(bundle.manifest.contract))

    def answers(self, samples: Floats, rate_hz: int, clip_seconds: float, count: int) -> Outputs:
        """Means over its own clips within each of the `count` clips that the student cuts: (count, ...)."""
        own_rate_hz = self.contract.sample_rate_hz
        pcm = to_int16(resample(samples, rate_hz, own_rate_hz))
        pieces = cut_clips(pcm, round(clip_seconds * own_rate_hz))[:count]
        answers = [self.runner.run(cut_clips(piece, self.contract.clip_samples)) for piece in pieces]
        return Outputs(
            np.stack([answer.embedding.mean(axis=0) for answer in answers]),
            np.stack([answer.logits.mean(axis=0) for answer in answers]),
        )


def hear(files: Sequence[Path], contract: AudioContract, teacher: BundleTeacher) -> list[Sound]:
    """Every file that can be read; the others are named on stderr. Raises DataError if none can."""
    sounds = []
    for file in track(files, len(files), "The teacher listens"):
        try:
            samples, rate_hz = read_audio(file)
        except DataError as error:
            say(f"left out: {error}")
            continue
        pcm = cut_clips(to_int16(resample(samples, rate_hz, contract.sample_rate_hz)), contract.clip_samples)
        taught = teacher.answers(samples, rate_hz, contract.clip_seconds, len(pcm))
        sounds.append(Sound(pcm[: len(taught.embedding)], taught))
    if not sounds:
        raise DataError("not one recording could be read; look at the audio files")
    return sounds


def open_bundle(path: Path) -> Artifact:
    """A bundle whose every byte is as it was built; ArtifactError if it is not one."""
    bundle = Artifact.open(path, ArtifactKind.BUNDLE)
    problems = bundle.verify()
    if problems:
        raise ArtifactError(f"{path} is not as it was built: {'; '.join(problems)}")
    return bundle
