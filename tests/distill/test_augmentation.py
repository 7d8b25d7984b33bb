"""An augmentation is drawn from a seed, and its line of the log makes the same view again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from acula_edge.data.recording import Recording, Split
from distill.augment_config import AugmentConfig
from distill.augmentation import Augmentation, Augmenter, Mix, Noise
from distill.noise_folder import NoiseFolder
from distill.noises import NoiseKind
from tests.recordings import CLIP_SAMPLES, RATE_HZ, clips

CLIPS = clips()
PLAIN = AugmentConfig(gain_db=0, mixup=0, noise=0, microphone=0, band_limit=0, clipping=0)
EVERYTHING = AugmentConfig(mixup=1, noise=1, microphone=1, band_limit=1, clipping=1)


def _recording(name: str) -> Recording:
    return Recording(name, f"{name}.wav", "d", "p", "g", Split.TRAIN, RATE_HZ, 0, CLIP_SAMPLES, "")


RECORDINGS = tuple(_recording(f"r{index}") for index in range(len(CLIPS)))


def _augmenter(config: AugmentConfig, noises: NoiseFolder | None = None) -> Augmenter:
    return Augmenter(config, RATE_HZ, RECORDINGS, noises, lambda item: CLIPS[int(item.id[1:])][None])


def _draws(config: AugmentConfig, n: int = 300) -> list[Augmentation]:
    augmenter = _augmenter(config)
    return [augmenter.draw(RECORDINGS[k % len(RECORDINGS)], k, 1, CLIP_SAMPLES) for k in range(n)]


@given(st.integers(0, len(CLIPS) - 1), st.integers(0, 50), st.integers(1, 9), st.integers(0, 2**31))
def test_a_view_is_made_again_bit_for_bit_from_its_log(index: int, clip: int, view: int, seed: int) -> None:
    config = AugmentConfig(seed=seed, mixup=0.5, noise=0.7, microphone=0.7, band_limit=0.5, clipping=0.5)
    drawn = _augmenter(config).draw(RECORDINGS[index], clip, view, CLIP_SAMPLES)
    line = drawn.model_dump_json()
    assert "\n" not in line
    again = Augmentation.model_validate_json(line)
    assert again == drawn
    made = _augmenter(config).apply(CLIPS[index], drawn)
    other_chances = AugmentConfig(seed=seed + 1)  # the line alone decides
    assert np.array_equal(_augmenter(other_chances).apply(CLIPS[index], again), made)
    assert made.dtype == np.int16
    assert made.shape == (CLIP_SAMPLES,)


def test_the_draw_follows_seed_recording_clip_and_view_alone() -> None:
    def draw(seed: int, name: int, clip: int, view: int) -> dict[str, Any]:
        config = EVERYTHING.model_copy(update={"seed": seed})
        drawn = _augmenter(config).draw(RECORDINGS[name], clip, view, CLIP_SAMPLES)
        return drawn.model_dump(exclude={"recording", "clip", "view"})

    base = draw(0, 0, 0, 1)
    assert draw(0, 0, 0, 1) == base
    for changed in ((1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1), (0, 0, 0, 2)):
        assert draw(*changed)["shift_samples"] != base["shift_samples"]
        assert draw(*changed)["gain_db"] != base["gain_db"]


def test_changes_come_as_often_and_as_strong_as_the_config_says() -> None:
    config = AugmentConfig(gain_db=4, snr_db=(5, 10), max_clipped=0.01)
    draws = _draws(config, 2000)
    for field, chance in (
        ("mix", 0.2),
        ("noise", 0.5),
        ("microphone", 0.5),
        ("band_hz", 0.2),
        ("clipped", 0.1),
    ):
        share = np.mean([getattr(drawn, field) is not None for drawn in draws])
        assert share == pytest.approx(chance, abs=0.04), field
    assert 3.9 < max(abs(drawn.gain_db) for drawn in draws) <= 4
    ratios = [drawn.noise.snr_db for drawn in draws if drawn.noise]
    assert 5 <= min(ratios) < 5.1
    assert 9.9 < max(ratios) <= 10
    assert {drawn.noise.kind for drawn in draws if drawn.noise} == set(NoiseKind) - {NoiseKind.RECORDED}
    assert 0 < max(drawn.clipped for drawn in draws if drawn.clipped) <= 0.01
    assert all(RATE_HZ * 0.2 <= drawn.band_hz <= RATE_HZ / 2 for drawn in draws if drawn.band_hz)


def test_another_recording_is_mixed_in_and_the_own_clip_prevails() -> None:
    mixes = [(drawn.recording, drawn.mix, drawn.labelled) for drawn in _draws(EVERYTHING)]
    assert all(mix and mix.recording != own for own, mix, _ in mixes)
    assert all(mix and 0.5 <= mix.share <= 1 for _, mix, _ in mixes)
    assert all(mix and labelled == (mix.share > 0.9) for _, mix, labelled in mixes)
    assert {labelled for _, _, labelled in mixes} == {True, False}
    assert len({mix.recording for _, mix, _ in mixes if mix}) > len(RECORDINGS) // 2


def test_no_recording_of_another_split_is_mixed_in() -> None:
    parts = [replace(item, split=Split.VAL if k % 3 else Split.TRAIN) for k, item in enumerate(RECORDINGS)]
    splits = {item.id: item.split for item in parts}
    augmenter = replace(_augmenter(EVERYTHING), others=parts)
    for k in range(200):
        own = parts[k % len(parts)]
        mix = augmenter.draw(own, k, 1, CLIP_SAMPLES).mix
        assert mix
        assert splits[mix.recording] is own.split


def test_without_any_change_the_view_is_the_clip_moved_in_time() -> None:
    augmenter = _augmenter(PLAIN)
    for index in range(4):
        drawn = augmenter.draw(RECORDINGS[index], 0, 1, CLIP_SAMPLES)
        assert drawn.labelled
        assert np.array_equal(
            augmenter.apply(CLIPS[index], drawn), np.roll(CLIPS[index], drawn.shift_samples)
        )


def test_each_change_is_applied(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(np.arange(9000)), RATE_HZ)
    noises = NoiseFolder.open(tmp_path)
    chances = ("mixup", "noise", "microphone", "band_limit", "clipping")
    changes = [({name: 1.0}, None) for name in chances] + [({"noise": 1.0}, noises), ({"gain_db": 6.0}, None)]
    for update, folder in changes:
        augmenter = _augmenter(PLAIN.model_copy(update=update), folder)
        drawn = augmenter.draw(RECORDINGS[2], 0, 1, CLIP_SAMPLES)
        moved = np.roll(CLIPS[2], drawn.shift_samples)
        assert not np.array_equal(augmenter.apply(CLIPS[2], drawn), moved), update
        if folder:
            assert drawn.noise
            assert (drawn.noise.kind, drawn.noise.file) == (NoiseKind.RECORDED, "tone.wav")


def test_noise_of_the_view_stands_at_the_logged_ratio() -> None:
    clip = CLIPS[0]
    drawn = Augmentation(
        recording="r0",
        clip=0,
        view=1,
        rate_hz=RATE_HZ,
        shift_samples=0,
        gain_db=0.0,
        noise=Noise(kind=NoiseKind.WARD, snr_db=12.0, seed=5),
    )
    added = _augmenter(PLAIN).apply(clip, drawn).astype(np.float64) - clip
    ratio = 10 * np.log10(np.mean(clip.astype(np.float64) ** 2) / np.mean(added**2))
    assert ratio == pytest.approx(12.0, abs=0.1)


def test_the_mixed_clip_is_at_its_place_of_the_other_recording() -> None:
    others = np.stack([CLIPS[1] // 2, CLIPS[2] // 2, CLIPS[3] // 2])
    augmenter = Augmenter(PLAIN, RATE_HZ, RECORDINGS, None, lambda _item: others)
    base = Augmentation(recording="r0", clip=0, view=1, rate_hz=RATE_HZ, shift_samples=0, gain_db=0.0)
    for place, index in ((0.0, 0), (0.34, 1), (0.999, 2)):
        mix = Mix(recording="r5", place=place, share=0.5)
        mixed = augmenter.apply(CLIPS[0] // 2, base.model_copy(update={"mix": mix}))
        expected = 0.5 * (CLIPS[0] // 2) + 0.5 * others[index]
        assert np.abs(mixed - expected).max() <= 0.5


def test_a_line_with_an_unknown_or_impossible_value_is_refused() -> None:
    line = _draws(EVERYTHING, 1)[0].model_dump()
    for change in (
        {"pitch": 1.0},
        {"gain_db": float("nan")},
        {"noise": {"kind": "sea", "snr_db": 1, "seed": 1}},
    ):
        with pytest.raises(ValidationError):
            Augmentation.model_validate({**line, **change})


def test_the_config_refuses_what_can_not_be() -> None:
    for wrong in ({"snr_db": (10.0, 0.0)}, {"views": 0}, {"noise": 1.5}, {"max_clipped": 0}, {"pitch": 1}):
        with pytest.raises(ValidationError):
            AugmentConfig.model_validate(wrong)
    assert AugmentConfig(views=1, noise=0.9).cached() == AugmentConfig(views=1).cached()
    assert AugmentConfig(noise=0.9).cached() != AugmentConfig().cached()
