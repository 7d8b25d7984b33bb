"""Hearing: what the teacher says belongs to the clip that the student hears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.contract import AudioContract
from acula_edge.data.audio import read_audio, resample, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.errors import ArtifactError, DataError
from acula_edge.runtime.runner import Outputs, open_runner
from acula_edge.students.space import SPACE, TextSpace
from distill.adapt.hearing import BundleTeacher, hear, open_bundle
from distill.adapt.names import MODEL_PCM


@pytest.fixture(scope="module")
def contract(shipped: Artifact) -> AudioContract:
    return AudioContract.of(shipped.manifest.contract)


def test_the_teacher_answers_each_clip_of_the_student(
    shipped: Artifact, mini_bundle: Artifact, recordings: Path, contract: AudioContract
) -> None:
    files = sorted(recordings.iterdir())[:6]
    runner = open_runner(mini_bundle.file(MODEL_PCM))
    for sound, file in zip(
        hear(files, contract, BundleTeacher.open(mini_bundle, shipped)), files, strict=True
    ):
        samples, rate_hz = read_audio(file)
        pcm = cut_clips(to_int16(resample(samples, rate_hz, 4000)), contract.clip_samples)
        np.testing.assert_array_equal(sound.pcm, pcm)
        np.testing.assert_array_equal(sound.taught.embedding, runner.run(pcm).embedding)
        np.testing.assert_array_equal(sound.taught.logits, runner.run(pcm).logits)


class _Loudness:
    """A teacher's graph that says how loud each of its clips is, and notes their length."""

    def __init__(self) -> None:
        self.lengths: set[int] = set()

    def run(self, batch: NDArray[np.int16]) -> Outputs:
        self.lengths.add(batch.shape[1])
        level = np.abs(batch.astype(np.float32)).mean(axis=1, keepdims=True)
        return Outputs(level, level)


@pytest.mark.parametrize(("rate_hz", "clip_samples"), [(8000, 16000), (4000, 32000), (16000, 160000)])
def test_a_teacher_with_another_front_end_hears_the_same_moments(
    contract: AudioContract, tmp_path: Path, rate_hz: int, clip_samples: int
) -> None:
    """Three clips of 8 s, each twice as loud as the one before, through clips of 2, 8 and 10 s."""
    time_s = np.arange(3 * 8 * 4000) / 4000
    tone = 0.05 * np.sin(2 * np.pi * 200 * time_s) * 2.0 ** (time_s // 8)
    soundfile.write(tmp_path / "tone.wav", tone, 4000)
    runner = _Loudness()
    own = AudioContract.make(sample_rate_hz=rate_hz, clip_samples=clip_samples)
    (sound,) = hear([tmp_path / "tone.wav"], contract, BundleTeacher(runner, own))
    assert runner.lengths == {clip_samples}
    levels = sound.taught.embedding[:, 0]
    np.testing.assert_allclose(levels / levels[0], [1, 2, 4], rtol=0.02)
    assert len(sound.pcm) == 3


def test_what_can_not_be_read_is_left_out_and_named(
    shipped: Artifact,
    mini_bundle: Artifact,
    recordings: Path,
    contract: AudioContract,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    good = sorted(recordings.iterdir())[0]
    teacher = BundleTeacher.open(mini_bundle, shipped)
    assert len(hear([broken, good], contract, teacher)) == 1
    assert "left out" in (told := capsys.readouterr().err)
    assert "broken.wav" in told
    with pytest.raises(DataError, match="not one recording could be read"):
        hear([broken], contract, teacher)


def _with_space(bundle: Artifact, out: Path, basis: NDArray[np.float32]) -> Artifact:
    with ArtifactWriter(out) as writer:
        bundle.copy_files(writer.path)
        (writer.path / SPACE).unlink()
        replace(TextSpace.open(bundle), basis=basis).save(writer.path)
        own = {name: getattr(bundle.manifest, name) for name in Description.model_fields}
        return writer.commit(Description(**{**own, "kind": ArtifactKind.BUNDLE}))


def test_spaces_must_be_nested(shipped: Artifact, mini_bundle: Artifact, tmp_path: Path) -> None:
    basis = TextSpace.open(mini_bundle).basis
    wider = np.concatenate([basis, np.zeros((len(basis), 3), np.float32)], axis=1)
    BundleTeacher.open(_with_space(mini_bundle, tmp_path / "wider", wider), shipped)
    for name, other in {"narrower": basis[:, :-1], "turned": -basis}.items():
        with pytest.raises(ArtifactError, match="were not distilled from one teacher"):
            BundleTeacher.open(_with_space(mini_bundle, tmp_path / name, other), shipped)


def test_other_tasks_are_refused(shipped: Artifact, mini_bundle: Artifact, tmp_path: Path) -> None:
    labels = mini_bundle.read_json("labels.json")
    with ArtifactWriter(tmp_path / "other") as writer:
        mini_bundle.copy_files(writer.path)
        writer.write_json("labels.json", {**labels, "tasks": labels["tasks"][:-1]})
        own = {name: getattr(mini_bundle.manifest, name) for name in Description.model_fields}
        other = writer.commit(Description(**{**own, "kind": ArtifactKind.BUNDLE}))
    with pytest.raises(ArtifactError, match="answers other tasks"):
        BundleTeacher.open(other, shipped)


def test_a_changed_bundle_is_not_opened(mini_bundle: Artifact, tmp_path: Path) -> None:
    copied = mini_bundle.copy(tmp_path / "bundle")
    assert open_bundle(copied.path).digest == mini_bundle.digest
    content = bytearray(copied.file(MODEL_PCM).read_bytes())
    content[-1] ^= 1
    copied.file(MODEL_PCM).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model_pcm\.tflite was changed"):
        open_bundle(copied.path)
