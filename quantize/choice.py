"""The choice of calibration clips: training clips that stand for all that the student will hear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.data.spread import Clips, spread_clips
from acula_edge.errors import ArtifactError, DataError, UsageError
from acula_edge.frontend import log_mel
from quantize.calibration import Choice

_TARGETS_FILE = "targets.safetensors"  # of a Teacher: `embedding.<recording>` (clips, D)

Floats = NDArray[np.floating]


def choose_clips(choice: Choice, dataset: Dataset, teacher: Artifact | None, count: int, seed: int) -> Clips:
    """`count` clips of the training split, or all if it holds fewer.

    Raises UsageError if the choice needs the teacher's embeddings and none is given, ArtifactError if it
    does not know a recording, DataError for an empty split.
    """
    if choice is Choice.SPREAD:
        return spread_clips(dataset, Split.TRAIN, count, seed)
    if teacher is None:
        raise UsageError(
            f"choice {choice} needs the teacher's embeddings; give its artifact, or choose spread"
        )
    candidates = _candidates(dataset.of(Split.TRAIN), teacher)
    embeddings = np.stack([candidate.embedding for candidate in candidates])
    chosen = _CHOICES[choice](embeddings, min(count, len(candidates)), seed)
    taken = [candidates[index] for index in chosen]
    pcm = [dataset.clips(candidate.recording)[candidate.clip] for candidate in taken]
    return Clips(np.stack(pcm), tuple(candidate.recording.id for candidate in taken))


def features_of(clips: Clips, dataset: Dataset) -> NDArray[np.float32]:
    """The front end's features (n, 1, n_mels, n_frames) of clips."""
    return np.ascontiguousarray(log_mel(clips.pcm, dataset.contract)[:, None])


def furthest(points: Floats, count: int, seed: int) -> list[int]:
    """Indices of `count` of the points (n, d), each the furthest from those before it.

    The first is the one nearest to the mean; the seed plays no part.
    """
    del seed
    centred = points.astype(np.float64)
    chosen = [int(np.argmin(_squared(centred, centred.mean(axis=0))))]
    nearest = _squared(centred, centred[chosen[0]])
    while len(chosen) < count:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, _squared(centred, centred[chosen[-1]]))
    return chosen


def central(points: Floats, count: int, seed: int) -> list[int]:
    """Indices of `count` of the points (n, d): of each k-means cluster the one nearest to its centre."""
    from sklearn.cluster import KMeans

    found = KMeans(count, n_init=1, random_state=seed).fit(points.astype(np.float64))
    members = (np.flatnonzero(found.labels_ == cluster) for cluster in range(count))
    distances = _squared(points, found.cluster_centers_[found.labels_])
    return [int(own[np.argmin(distances[own])]) for own in members if own.size]


_CHOICES: Mapping[Choice, Callable[[Floats, int, int], list[int]]] = {
    Choice.FURTHEST: furthest,
    Choice.KMEANS: central,
}


@dataclass(frozen=True)
class _Candidate:
    """One clip of a training recording, and what the teacher hears in it."""

    recording: Recording
    clip: int
    embedding: Floats


def _candidates(recordings: list[Recording], teacher: Artifact) -> list[_Candidate]:
    from safetensors import safe_open

    if not recordings:
        raise DataError("the train split holds no recording to choose clips from; add recordings")
    with safe_open(teacher.file(_TARGETS_FILE), framework="numpy") as stored:
        known = set(stored.keys())
        unknown = next((item.id for item in recordings if f"embedding.{item.id}" not in known), None)
        if unknown is not None:
            raise ArtifactError(
                f"{teacher.path} does not know recording {unknown}; give the teacher of this data"
            )
        return [
            _Candidate(recording, clip, embedding)
            for recording in recordings
            for clip, embedding in enumerate(stored.get_tensor(f"embedding.{recording.id}"))
        ]


def _squared(points: Floats, centre: Floats) -> Floats:
    return np.asarray(((points - centre) ** 2).sum(axis=1))
