"""Views: what a student is trained on: features of every clip, and the teacher's answers to the same sound.

Each clip has a view as recorded, and augmented ones. The teacher hears a view at the device's rate, or at
its own if that is higher: a student of a low rate is taught by a teacher that hears the whole of its band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.errors import DataError
from distill.augment_config import AugmentConfig
from distill.maker import ViewMaker
from distill.shards import mapped

_SHARD_RECORDINGS = 32
_KEY_CHARACTERS = 16


@dataclass(frozen=True)
class Views:
    """n views of the clips of some recordings; all big arrays are memory-mapped.

    `features` (n, n_mels, n_frames) are normalised by the contract; `embedding` (n, D), `logits` (n, K)
    and `aligned` (n, S), rows of length 1, are the teacher's answers to the same view. `labels` (n, tasks)
    are class indices, -1 where a view is not part of a task; `owner` (n,) indexes `recordings`, `clip`
    (n,) counts clips over all recordings, and `view` (n,) is 0 as recorded, 1.. augmented.
    """

    recordings: tuple[Recording, ...]
    features: NDArray[np.float16]
    embedding: NDArray[np.float32]
    logits: NDArray[np.float32]
    aligned: NDArray[np.float32]
    labels: NDArray[np.int64]
    owner: NDArray[np.intp]
    clip: NDArray[np.intp]
    view: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.owner)


def make_views(
    dataset: Dataset,
    teacher: Artifact,
    recordings: Sequence[Recording],
    config: AugmentConfig,
    folder: Path,
    label: str,
) -> Views:
    """Views of every clip of `recordings`, labelled or not, cached under `folder`.

    They are kept under a key of all they depend on; a killed run goes on where it was, and what is
    damaged is made again. Raises DataError for a test recording or none at all, ArtifactError naming the
    recording if a feature or an answer is not finite.
    """
    if not recordings:
        raise DataError(f"{label}: there is no recording to make views of; add recordings")
    for recording in recordings:
        if recording.split is Split.TEST:
            raise DataError(f"recording {recording.id} is in the test split, which only bench may open")
    maker = ViewMaker(dataset, teacher, tuple(recordings), config)
    starts = range(0, len(recordings), _SHARD_RECORDINGS)
    pieces = [range(start, min(start + _SHARD_RECORDINGS, len(recordings))) for start in starts]
    arrays = mapped(folder / maker.key[:_KEY_CHARACTERS], pieces, maker.shard, label)
    own = [[item.labels.get(task.name, -1) for task in dataset.tasks] for item in recordings]
    owner, view, labelled = arrays["place"].T
    return Views(
        recordings=tuple(recordings),
        **{field: arrays[field] for field in ("features", "embedding", "logits", "aligned")},
        labels=np.where(labelled[:, None] > 0, np.array(own, dtype=np.int64)[owner], -1),
        owner=owner,
        clip=np.cumsum(view == 0) - 1,
        view=view,
    )
