"""What an aligned teacher says of any clip: the artifact's own targets, under any front end."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from safetensors.numpy import load_file

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.encoders.answers import AlignedTeacher
from acula_edge.encoders.teacher_model import Variant, embed_clips
from acula_edge.errors import ArtifactError


@pytest.fixture(scope="module")
def teacher(mini_teacher: Artifact) -> AlignedTeacher:
    return AlignedTeacher.open(mini_teacher)


@pytest.fixture(scope="module")
def dataset(mini_dataset: Artifact) -> Dataset:
    return Dataset.open(mini_dataset)


def test_answers_are_the_artifacts_targets(
    teacher: AlignedTeacher, mini_teacher: Artifact, dataset: Dataset
) -> None:
    """Up to the float16 of the trunk's features, which the targets were made from."""
    targets = load_file(mini_teacher.file("targets.safetensors"))
    recordings = dataset.of(Split.TRAIN)[::40] + dataset.of(Split.VAL)[::40]
    for item in recordings:
        found = teacher.answer(dataset.clips(item), dataset.contract)
        own = {name: targets[f"{name}.{item.id}"] for name in ("embedding", "logits", "aligned")}
        assert np.abs(found.embedding - own["embedding"]).max() < 2e-3 * np.abs(own["embedding"]).max()
        assert np.abs(found.logits - own["logits"]).max() < 2e-2
        assert np.abs(found.aligned - own["aligned"]).max() < 1e-2
        assert np.allclose(np.linalg.norm(found.aligned, axis=1), 1, atol=1e-5)
        assert {part.dtype.name for part in (found.embedding, found.logits, found.aligned)} == {"float32"}


def test_clips_are_answered_one_by_one(teacher: AlignedTeacher, dataset: Dataset) -> None:
    clips = np.concatenate([dataset.clips(item) for item in dataset.of(Split.VAL)[:4]])
    together = teacher.answer(clips, dataset.contract)
    whole = embed_clips(teacher.model.encoder, clips, dataset.contract)
    assert np.abs(together.embedding - whole).max() < 1e-3 * np.abs(whole).max()
    alone = teacher.answer(clips[2:3], dataset.contract)
    assert np.array_equal(alone.embedding[0], together.embedding[2])


def test_a_higher_rate_adds_nothing_above_the_teachers_band(
    teacher: AlignedTeacher, dataset: Dataset
) -> None:
    """A clip at twice the rate, with a tone that the device of the teacher can not hear."""
    contract = dataset.contract
    clip = dataset.clips(dataset.of(Split.VAL)[0])[:1]
    upsampled = soxr.resample(clip[0].astype(np.float64), 1, 2, quality="VHQ")
    tone = 2000 * np.sin(2 * np.pi * 0.4 * np.arange(upsampled.size))  # 3.2 kHz where Nyquist is 4 kHz
    high = np.clip(np.rint(upsampled + tone), -32768, 32767).astype(np.int16)[None]
    doubled = contract.make(
        **{**contract.model_dump(), "sample_rate_hz": 8000, "clip_samples": 2 * contract.clip_samples}
    )
    found, own = teacher.answer(high, doubled).embedding, teacher.answer(clip, contract).embedding
    assert np.abs(found - own).max() < 0.05 * np.abs(own).max()


def test_a_control_has_its_own_heads(mini_teacher: Artifact, dataset: Dataset) -> None:
    clips = dataset.clips(dataset.of(Split.VAL)[0])
    aligned, shuffled = (
        AlignedTeacher.open(mini_teacher, variant).answer(clips, dataset.contract).aligned
        for variant in (Variant.ALIGNED, Variant.SHUFFLED)
    )
    assert np.abs(aligned - shuffled).max() > 0.01
    with pytest.raises(ArtifactError, match=r"lists no file heads_base\.safetensors"):
        AlignedTeacher.open(mini_teacher, Variant.BASE)
