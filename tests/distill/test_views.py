"""Views: the clips' own features, and the teacher's answers to the same sound."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr
from safetensors.numpy import load_file

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.encoders.answers import AlignedTeacher, Answers
from acula_edge.errors import ArtifactError, DataError
from acula_edge.frontend import log_mel
from distill.augment_config import AugmentConfig
from distill.augmentation import Augmentation, Augmenter
from distill.views import make_views
from tests.distill.conftest import Make

PLAIN = AugmentConfig(views=1)


def test_the_view_as_recorded_is_the_clip_and_the_artifacts_targets(
    make: Make, dataset: Dataset, mini_teacher: Artifact, some: list[Recording], tmp_path: Path
) -> None:
    views = make(some, PLAIN, tmp_path)
    targets = load_file(mini_teacher.file("targets.safetensors"))
    clips = [dataset.clips(item) for item in some]
    assert len(views) == sum(map(len, clips))
    expected = log_mel(np.concatenate(clips), dataset.contract)
    assert views.features.dtype == np.float16
    assert np.abs(views.features - expected).max() <= np.abs(expected).max() * 2**-11
    for field in ("embedding", "logits", "aligned"):
        stored = np.concatenate([targets[f"{field}.{item.id}"] for item in some])
        assert np.array_equal(getattr(views, field), stored)
        assert isinstance(getattr(views, field), np.memmap)


def test_rows_are_named_and_labelled(
    make: Make, dataset: Dataset, some: list[Recording], tmp_path: Path
) -> None:
    views = make(some, PLAIN, tmp_path)
    counts = [len(dataset.clips(item)) for item in some]
    assert max(counts) > 1 or dataset.simulated  # simulated recordings are one clip long
    assert np.array_equal(views.owner, np.repeat(np.arange(len(some)), counts))
    assert np.array_equal(views.clip, np.arange(sum(counts)))
    assert not views.view.any()
    for labels, owner in zip(views.labels, views.owner, strict=True):
        assert labels.tolist() == [some[owner].labels.get(task.name, -1) for task in dataset.tasks]


def test_an_augmented_view_is_answered_and_logged_as_it_sounds(
    make: Make, dataset: Dataset, mini_teacher: Artifact, some: list[Recording], tmp_path: Path
) -> None:
    """Each line of the log makes the sound again, whose features and answers the row holds."""
    few = some[:5]
    config = AugmentConfig(views=3, mixup=0.7)
    views = make(few, config, tmp_path)
    lines = next(tmp_path.rglob("whole/augmentations.jsonl")).read_text().splitlines()
    logged = [Augmentation.model_validate_json(line) for line in lines]
    teacher, contract = AlignedTeacher.open(mini_teacher), dataset.contract
    augmenter = Augmenter(config, contract.sample_rate_hz, few, None, dataset.clips)
    augmented = np.flatnonzero(views.view)
    assert len(augmented) == len(logged) == 2 * len(np.unique(views.clip))
    for row, drawn in zip(augmented, logged, strict=True):
        own = few[views.owner[row]]
        assert (own.id, views.view[row]) == (drawn.recording, drawn.view)
        pcm = augmenter.apply(dataset.clips(own)[drawn.clip], drawn)[None]
        assert np.array_equal(views.features[row], log_mel(pcm, contract)[0].astype(np.float16))
        answers = teacher.answer(pcm, contract)
        for field in ("embedding", "logits", "aligned"):
            assert np.abs(getattr(views, field)[row] - getattr(answers, field)[0]).max() < 1e-4
        labels = [own.labels.get(task.name, -1) for task in dataset.tasks]
        assert views.labels[row].tolist() == (labels if drawn.labelled else [-1] * len(labels))
    assert {drawn.labelled for drawn in logged} == {True, False}


def test_the_views_of_a_clip_follow_each_other(make: Make, some: list[Recording], tmp_path: Path) -> None:
    views = make(some[:3], AugmentConfig(views=2), tmp_path)
    assert np.array_equal(views.view, np.tile([0, 1], len(views) // 2))
    assert np.array_equal(views.clip, np.repeat(np.arange(len(views) // 2), 2))


def test_recordings_without_labels_are_viewed_too(make: Make, some: list[Recording], tmp_path: Path) -> None:
    silent = [replace(item, labels={}, reports=()) for item in some[:3]]
    views = make(silent, AugmentConfig(views=2), tmp_path)
    assert len(views) >= 6
    assert (views.labels == -1).all()
    assert np.isfinite(views.embedding).all()


def _front_end(rate_hz: int) -> AudioContract:
    return AudioContract.make(
        sample_rate_hz=rate_hz,
        clip_samples=8 * rate_hz,
        window_samples=rate_hz // 16,
        hop_samples=rate_hz // 32,
        n_fft=512 if rate_hz == 8000 else 128,
        n_mels=24,
        f_max_hz=rate_hz / 2,
    )


@pytest.mark.parametrize(("rate_hz", "heard_hz"), [(2000, 4000), (8000, 8000)])
def test_under_another_rate_the_teacher_hears_its_own_band(
    dataset: Dataset,
    mini_teacher: Artifact,
    some: list[Recording],
    tmp_path: Path,
    rate_hz: int,
    heard_hz: int,
) -> None:
    heard, few = dataset.heard_with(_front_end(rate_hz)), some[:3]
    views = make_views(heard, mini_teacher, few, AugmentConfig(views=2), tmp_path, "train")
    plain = views.view == 0
    expected = np.concatenate([log_mel(heard.clips(item), heard.contract) for item in few])
    assert np.array_equal(views.features[plain], expected.astype(np.float16))
    targets = load_file(mini_teacher.file("targets.safetensors"))
    own = np.concatenate([targets[f"embedding.{item.id}"] for item in few])
    assert np.abs(views.embedding[plain] - own).max() < 0.05 * np.abs(own).max()
    line = next(tmp_path.rglob("whole/*.jsonl")).read_text().splitlines()[0]
    drawn = Augmentation.model_validate_json(line)
    assert drawn.rate_hz == heard_hz
    augmenter = Augmenter(AugmentConfig(), heard_hz, few, None, lambda item: heard.clips_at(item, heard_hz))
    sound = augmenter.apply(heard.clips_at(few[0], heard_hz)[0], drawn).astype(np.float64)
    device = np.clip(np.rint(soxr.resample(sound, heard_hz, rate_hz, quality="VHQ")), -32768, 32767)
    features = log_mel(device.astype(np.int16), heard.contract)
    assert np.abs(views.features[1] - features).mean() < 0.01


def test_an_answer_that_is_not_finite_names_its_recording(
    make: Make, some: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_at = AlignedTeacher.answer_at

    def broken(self: AlignedTeacher, pcm: np.ndarray, rate_hz: int) -> Answers:
        answers = answer_at(self, pcm, rate_hz)
        answers.logits[-1, 0] = np.nan
        return answers

    monkeypatch.setattr(AlignedTeacher, "answer_at", broken)
    said = rf"recording {re.escape(some[2].id)}, clip \d, view 1: logits is not finite"
    with pytest.raises(ArtifactError, match=said):
        make(some[:3], AugmentConfig(), tmp_path)
    assert not list(tmp_path.rglob("whole"))


def test_test_patients_and_nobody_are_refused(
    make: Make, dataset: Dataset, some: list[Recording], tmp_path: Path
) -> None:
    hidden = dataset.of(Split.TEST)[0]
    with pytest.raises(DataError, match=f"recording {re.escape(hidden.id)} is in the test split"):
        make([*some, hidden], PLAIN, tmp_path)
    with pytest.raises(DataError, match="there is no recording to make views of"):
        make([], PLAIN, tmp_path)
    assert not list(tmp_path.iterdir())
