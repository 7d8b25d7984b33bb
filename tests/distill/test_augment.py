"""Augmentation of features does what the same change of the sound does."""

from __future__ import annotations

import numpy as np
import torch

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.frontend import log_mel, unnormalised_log_mel
from distill.augment import augment
from distill.config import DistillConfig

PLAIN = DistillConfig(gain_db=0.0, mel_mask=0, frame_mask=0)


def _features(dataset: Artifact) -> tuple[Dataset, np.ndarray, torch.Tensor]:
    opened = Dataset.open(dataset)
    assert opened.contract.normalisation is not None
    clips = np.concatenate([opened.clips(item) for item in opened.of(Split.TRAIN)[:6]])
    return opened, clips, torch.tensor(opened.contract.normalisation.std)


def test_gain_on_features_is_gain_on_the_sound(mini_dataset: Artifact) -> None:
    dataset, clips, std = _features(mini_dataset)
    clips = clips // 2  # room for 6 dB
    features = torch.from_numpy(log_mel(clips, dataset.contract))[:, None]

    class SixDecibel(np.random.Generator):
        def uniform(self, low: float, high: float, size: int) -> np.ndarray:  # type: ignore[override]
            del low
            return np.full(size, high)

        def integers(self, *_bounds: int) -> int:  # type: ignore[override]
            return 0

    louder = augment(features, std, PLAIN.model_copy(update={"gain_db": 6.0}), SixDecibel(np.random.PCG64()))
    sound = np.round(clips * 10 ** (6 / 20)).astype(np.int16)
    expected = log_mel(sound, dataset.contract)
    power = unnormalised_log_mel(clips, dataset.contract)
    audible = power > np.log(dataset.contract.log_floor) + 5.0  # 22 dB above the floor and its rounding noise
    assert audible.mean() > 0.1
    assert np.abs(louder[:, 0].numpy() - expected)[audible].max() < 0.1


def test_time_shift_keeps_every_frame(mini_dataset: Artifact) -> None:
    dataset, clips, std = _features(mini_dataset)
    features = torch.from_numpy(log_mel(clips, dataset.contract))[:, None]
    shifted = augment(features, std, PLAIN, np.random.default_rng(0))
    assert not torch.equal(shifted, features)
    assert torch.allclose(shifted.sum(3), features.sum(3), atol=1e-2)


def test_masks_are_within_their_widths_and_the_input_is_untouched() -> None:
    features = torch.ones(64, 1, 48, 249)
    config = PLAIN.model_copy(update={"mel_mask": 6, "frame_mask": 24})
    masked = augment(features, torch.ones(48), config, np.random.default_rng(1))
    assert bool((features == 1).all())
    bands = (masked == 0).all(3).sum(2)
    frames = (masked == 0).all(2).sum(2)
    assert 0 < int(bands.max()) <= 6
    assert 0 < int(frames.max()) <= 24
