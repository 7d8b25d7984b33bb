"""ViewMaker: makes the views of some recordings and has the teacher answer to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from acula_edge.artifact import Artifact, digest_of
from acula_edge.contract import AudioContract
from acula_edge.data.audio import Int16s, resample, to_float32, to_int16
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording
from acula_edge.encoders.answers import AlignedTeacher
from acula_edge.environment import sources_digest
from acula_edge.errors import ArtifactError
from acula_edge.frontend import log_mel
from distill.augment_config import AugmentConfig
from distill.augmentation import Augmentation, Augmenter
from distill.noise_folder import NoiseFolder
from distill.shards import Shard

TARGETS_FILE = "targets.safetensors"
_ANSWERS = ("embedding", "logits", "aligned")
_BATCH = 16
# What the views depend on: a change there, and only there, makes them again.
_SOURCES = (
    "acula_edge/contract.py",
    "acula_edge/frontend.py",
    "acula_edge/data/audio.py",
    "acula_edge/data/clips.py",
    "acula_edge/data/dataset.py",
    "acula_edge/encoders",
    "distill/augment_waveform.py",
    "distill/augmentation.py",
    "distill/maker.py",
    "distill/microphones.py",
    "distill/noise_folder.py",
    "distill/noises.py",
    "distill/shards.py",
)


@dataclass(frozen=True)
class _View:
    """A view of a recording's clip: what the device records (clip_samples,) and the teacher hears (n,).

    `drawn` says how it was augmented; None: it is as recorded.
    """

    owner: int
    clip: int
    device: Int16s
    heard: Int16s
    drawn: Augmentation | None

    @property
    def number(self) -> int:
        return self.drawn.view if self.drawn else 0

    @property
    def labelled(self) -> bool:
        return self.drawn is None or self.drawn.labelled


@dataclass
class ViewMaker:
    """Makes shards of views; the teacher is opened when it is first asked."""

    dataset: Dataset
    teacher: Artifact
    recordings: tuple[Recording, ...]
    config: AugmentConfig

    @cached_property
    def key(self) -> str:
        """Digest of all that the views depend on."""
        return digest_of(
            {
                "dataset": self._dataset_artifact.digest,
                "teacher": self.teacher.digest,
                "contract": self.dataset.contract.model_dump(mode="json"),
                "recordings": [recording.id for recording in self.recordings],
                "augment": self.config.cached() | {"noise_folder": self._noises and self._noises.digest},
                "code": sources_digest(*_SOURCES),
            }
        )

    def shard(self, part: range) -> Shard:
        """The views of the recordings `part`, by recording, clip and view.

        `place` (n, 3) is each view's recording, number and whether its labels hold. Raises ArtifactError
        naming the recording if a feature or an answer is not finite.
        """
        views = [view for owner in part for view in self._views(owner)]
        arrays = {"features": self._features(views)} | self._answers(views)
        for field, array in arrays.items():
            self._require_finite(field, array, views)
        place = [(view.owner, view.number, view.labelled) for view in views]
        log = [view.drawn.model_dump_json() for view in views if view.drawn]
        return Shard(arrays | {"place": np.array(place, dtype=np.intp)}, log)

    def _views(self, owner: int) -> Iterator[_View]:
        recording = self.recordings[owner]
        device, heard = self.dataset.clips(recording), self._heard(recording)
        for clip, (own, full) in enumerate(zip(device, heard, strict=True)):
            yield _View(owner, clip, own, full, None)
            for number in range(1, self.config.views):
                drawn = self._augmenter.draw(recording, clip, number, full.size)
                yield self._augmented(owner, self._augmenter.apply(full, drawn), drawn)

    def _augmented(self, owner: int, heard: Int16s, drawn: Augmentation) -> _View:
        device_hz = self.dataset.contract.sample_rate_hz
        device = heard
        if device_hz != self._rate_hz:
            device = to_int16(resample(to_float32(heard), self._rate_hz, device_hz))
        return _View(owner, drawn.clip, device, heard, drawn)

    def _heard(self, recording: Recording) -> Int16s:
        return self.dataset.clips_at(recording, self._rate_hz)

    def _features(self, views: Sequence[_View]) -> NDArray[np.float16]:
        pcm = np.stack([view.device for view in views])
        parts = (pcm[start : start + _BATCH] for start in range(0, len(pcm), _BATCH))
        return np.concatenate([log_mel(part, self.dataset.contract).astype(np.float16) for part in parts])

    def _answers(self, views: Sequence[_View]) -> dict[str, NDArray[np.float32]]:
        """The teacher's answers by field: kept ones where the clip is as the teacher heard it."""
        known = self._kept(views)
        asked = [row for row in range(len(views)) if row not in known]
        if asked:
            answers = self._aligned.answer_at(np.stack([views[row].heard for row in asked]), self._rate_hz)
            for place, row in enumerate(asked):
                known[row] = tuple(getattr(answers, field)[place] for field in _ANSWERS)
        return {
            field: np.stack([known[row][column] for row in range(len(views))])
            for column, field in enumerate(_ANSWERS)
        }

    def _kept(self, views: Sequence[_View]) -> dict[int, tuple[NDArray[np.float32], ...]]:
        """The answers, by row, that the Teacher artifact holds: of its own data set's clips as recorded."""
        if not self._hears_the_same:
            return {}
        found: dict[int, tuple[NDArray[np.float32], ...]] = {}
        with safe_open(self.teacher.file(TARGETS_FILE), framework="numpy") as stored:
            names = set(stored.keys())
            for row, view in enumerate(views):
                own = self.recordings[view.owner].id
                if view.number == 0 and f"embedding.{own}" in names:
                    tensors = (stored.get_tensor(f"{field}.{own}") for field in _ANSWERS)
                    found[row] = tuple(tensor[view.clip] for tensor in tensors)
        return found

    def _require_finite(self, field: str, array: NDArray[np.floating], views: Sequence[_View]) -> None:
        broken = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
        if broken.size:
            view = views[int(broken[0])]
            recording = self.recordings[view.owner].id
            raise ArtifactError(
                f"recording {recording}, clip {view.clip}, view {view.number}: {field} is not finite; "
                f"the teacher at {self.teacher.path} can not answer to it: train it again"
            )

    @cached_property
    def _dataset_artifact(self) -> Artifact:
        return Artifact.open(self.dataset.root)

    @cached_property
    def _noises(self) -> NoiseFolder | None:
        folder = self.config.noise_folder
        return NoiseFolder.open(folder) if folder else None

    @cached_property
    def _augmenter(self) -> Augmenter:
        return Augmenter(self.config, self._rate_hz, self.recordings, self._noises, self._heard)

    @cached_property
    def _aligned(self) -> AlignedTeacher:
        return AlignedTeacher.open(self.teacher)

    @cached_property
    def _own(self) -> AudioContract:
        return AudioContract.of(self.teacher.manifest.contract)

    @property
    def _rate_hz(self) -> int:
        """The rate at which views are made."""
        return max(self.dataset.contract.sample_rate_hz, self._own.sample_rate_hz)

    @property
    def _hears_the_same(self) -> bool:
        """Whether the teacher's own targets are of these very clips."""
        mine, own = self.dataset.contract, self._own
        same_clips = (mine.sample_rate_hz, mine.clip_samples) == (own.sample_rate_hz, own.clip_samples)
        return same_clips and self._dataset_artifact.parent in self.teacher.manifest.parents
