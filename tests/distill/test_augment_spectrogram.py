"""Noise on features does what the same change of the sound does, to each clip by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.frontend import log_mel, unnormalised_log_mel
from distill.augment_config import SpectrogramConfig
from distill.augment_spectrogram import augment_spectrogram

PLAIN = SpectrogramConfig(gain_db=0.0, mel_mask=0, frame_mask=0)


def _real(dataset: Artifact) -> tuple[Dataset, np.ndarray, torch.Tensor]:
    opened = Dataset.open(dataset)
    assert opened.contract.normalisation is not None
    clips = np.concatenate([opened.clips(item) for item in opened.of(Split.TRAIN)[:6]])
    return opened, clips, torch.tensor(opened.contract.normalisation.std)


def test_gain_on_features_is_gain_on_the_sound(mini_dataset: Artifact) -> None:
    dataset, clips, std = _real(mini_dataset)
    clips = clips // 2  # room for 6 dB
    features = torch.from_numpy(log_mel(clips, dataset.contract))[:, None]

    class SixDecibel(np.random.Generator):
        def uniform(self, low: float, high: float, size: int) -> np.ndarray:  # type: ignore[override]
            del low
            return np.full(size, high)

        def integers(self, *_bounds: object, size: int | None = None) -> np.ndarray:  # type: ignore[override]
            return np.zeros(size or len(clips), dtype=np.int64)

    config = PLAIN.model_copy(update={"gain_db": 6.0})
    louder = augment_spectrogram(features, std, config, SixDecibel(np.random.PCG64()))
    sound = np.round(clips * 10 ** (6 / 20)).astype(np.int16)
    expected = log_mel(sound, dataset.contract)
    power = unnormalised_log_mel(clips, dataset.contract)
    audible = power > np.log(dataset.contract.log_floor) + 5.0  # 22 dB above the floor and its rounding noise
    assert audible.mean() > 0.1
    assert np.abs(louder[:, 0].numpy() - expected)[audible].max() < 0.1


def test_each_clip_is_rolled_by_itself(mini_dataset: Artifact) -> None:
    dataset, clips, std = _real(mini_dataset)
    features = torch.from_numpy(log_mel(clips, dataset.contract))[:, None]
    rolled = augment_spectrogram(features, std, PLAIN, np.random.default_rng(0))
    shifts = set()
    for own, moved in zip(features, rolled, strict=True):
        found = [step for step in range(own.shape[2]) if torch.equal(torch.roll(own, step, 2), moved)]
        assert found
        shifts.update(found)
    assert len(shifts) > len(clips) // 2


def test_masks_are_single_bands_within_their_widths_and_the_input_is_untouched() -> None:
    features = torch.ones(1024, 1, 48, 60)
    config = PLAIN.model_copy(update={"mel_mask": 6, "frame_mask": 24})
    masked = augment_spectrogram(features, torch.ones(48), config, np.random.default_rng(1))
    assert bool((features == 1).all())
    for bands, widest in (((masked == 0).all(3)[:, 0], 6), ((masked == 0).all(2)[:, 0], 24)):
        widths = bands.sum(1)
        edges = (bands[:, 1:] != bands[:, :-1]).sum(1)
        assert sorted(widths.unique().tolist()) == list(range(widest + 1))
        assert int(edges.max()) <= 2
        assert bool(bands.any(0).all())  # every place is masked in some clip


@pytest.mark.parametrize("size", [1, 5])
def test_masks_wider_than_the_features_leave_shapes_alone(size: int) -> None:
    config = SpectrogramConfig(mel_mask=9, frame_mask=9)
    masked = augment_spectrogram(
        torch.ones(4, 1, size, size), torch.ones(size), config, np.random.default_rng(2)
    )
    assert masked.shape == (4, 1, size, size)


def test_the_same_generator_gives_the_same_noise() -> None:
    features, std = torch.randn(8, 1, 48, 249), torch.ones(48)
    first, again, other = (
        augment_spectrogram(features, std, SpectrogramConfig(), np.random.default_rng(seed))
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
