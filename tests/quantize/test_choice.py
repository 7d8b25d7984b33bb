"""Which training clips calibrate the grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.spatial.distance import cdist

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.errors import ArtifactError, UsageError
from quantize.calibration import Choice
from quantize.choice import central, choose_clips, furthest
from tests.recordings import needs_recordings

POINTS = np.random.default_rng(0).normal(size=(60, 5))


def test_each_furthest_point_is_scipys() -> None:
    chosen = furthest(POINTS, 12, seed=3)
    distances = cdist(POINTS, POINTS)
    assert chosen[0] == int(np.argmin(cdist(POINTS, POINTS.mean(axis=0)[None])))
    for index in range(1, len(chosen)):
        nearest = distances[:, chosen[:index]].min(axis=1)
        assert nearest[chosen[index]] == pytest.approx(nearest.max())


def test_kmeans_takes_one_point_of_each_cluster() -> None:
    centres = np.array([[0, 0], [50, 0], [0, 50], [50, 50]], float)
    points = np.concatenate([centre + POINTS[:15, :2] for centre in centres])
    chosen = central(points, 4, seed=0)
    assert sorted(index // 15 for index in chosen) == [0, 1, 2, 3]
    own_mean = points.reshape(4, 15, 2).mean(axis=1)
    for index in chosen:
        members = points[index // 15 * 15 : index // 15 * 15 + 15]
        distance = np.linalg.norm(members - own_mean[index // 15], axis=1)
        assert distance[index % 15] == pytest.approx(distance.min())


def _teacher(path: Path, embeddings: dict[str, np.ndarray]) -> Artifact:
    with ArtifactWriter(path) as writer:
        save_file(embeddings, writer.path / "targets.safetensors")
        return writer.commit(Description(kind=ArtifactKind.TEACHER, key="for this test"))


@needs_recordings
@pytest.mark.parametrize("choice", [Choice.FURTHEST, Choice.KMEANS])
def test_a_clip_that_is_like_no_other_is_chosen(
    mini_dataset: Artifact, tmp_path: Path, choice: Choice
) -> None:
    dataset = Dataset.open(mini_dataset)
    rng = np.random.default_rng(0)
    train = dataset.of(Split.TRAIN)
    told = {
        f"embedding.{item.id}": rng.normal(size=(len(dataset.clips(item)), 4)).astype(np.float32)
        for item in train
    }
    odd = next(item for item in train if len(dataset.clips(item)) > 1)
    told[f"embedding.{odd.id}"][1] = 1e3
    clips = choose_clips(choice, dataset, _teacher(tmp_path / "teacher", told), 6, seed=0)
    assert len(clips.recordings) == len(clips.pcm) == 6
    assert np.array_equal(clips.pcm[clips.recordings.index(odd.id)], dataset.clips(odd)[1])


def test_a_choice_by_embeddings_needs_a_teacher_that_knows_the_recordings(
    mini_dataset: Artifact, tmp_path: Path
) -> None:
    dataset = Dataset.open(mini_dataset)
    with pytest.raises(UsageError, match="furthest needs the teacher"):
        choose_clips(Choice.FURTHEST, dataset, None, 4, seed=0)
    stranger = _teacher(tmp_path / "teacher", {"embedding.x": np.zeros((1, 4), np.float32)})
    with pytest.raises(ArtifactError, match="does not know recording"):
        choose_clips(Choice.KMEANS, dataset, stranger, 4, seed=0)
