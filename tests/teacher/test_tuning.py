"""Which weights learn under each tuning, and that low-rank changes end as plain weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from acula_edge.encoders.registry import empty, pretrained
from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import Tuning
from acula_edge.teacher.tuning import merge, tune
from tests.teacher.tiny import CONTRACT, tiny_config, tiny_encoder, tone_pairs


def _moved(tuning: Tuning, work: Path) -> set[str]:
    config = tiny_config(tuning=tuning, epochs=2, learning_rate=1e-2)
    model = AlignmentModel(tiny_encoder(), 8, config)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    align(model, tone_pairs(36, 0), tone_pairs(12, 1), config, work, str(tuning))
    after = model.encoder.state_dict()
    assert after.keys() == before.keys()
    again = AlignmentModel(tiny_encoder(), 8, config)  # from the checkpoint of the training that is over
    align(again, tone_pairs(36, 0), tone_pairs(12, 1), config, work, str(tuning))
    assert all(torch.equal(value, after[name]) for name, value in again.encoder.state_dict().items())
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


HEAD = {
    f"similarity.{name}" for name in ("project.weight", "project.bias", "norm.weight", "norm.bias", "weight")
}
TOP = {"last.weight", "last.bias", "mix.weight", "mix.bias"}


@pytest.mark.parametrize(
    ("tuning", "expected"),
    [
        (Tuning.TOP, TOP),
        (Tuning.FULL, TOP | {"first.weight", "first.bias"}),
        (Tuning.LORA, {"first.weight", "last.weight"}),  # not the grouped convolution, and no bias
    ],
)
def test_only_the_chosen_weights_move(tuning: Tuning, expected: set[str], tmp_path: Path) -> None:
    assert _moved(tuning, tmp_path) == expected | HEAD


def test_an_encoder_without_pretraining_learns_in_full() -> None:
    encoder = tiny_encoder()
    encoder.pretrained = False
    tune(encoder, Tuning.TOP)
    assert all(weight.requires_grad for weight in encoder.parameters())


def test_merged_layers_are_plain_and_compute_what_the_adapted_ones_did() -> None:
    encoder = tiny_encoder().eval()
    kinds = {name: type(module) for name, module in encoder.named_modules()}
    wave = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        original = encoder.embed(wave)
        tune(encoder, Tuning.LORA)
        assert torch.allclose(encoder.embed(wave), original, atol=1e-6)
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.1)
        adapted = encoder.embed(wave)
        merge(encoder)
        merged = encoder.embed(wave)
    assert not torch.allclose(adapted, original, atol=1e-3)
    assert torch.allclose(merged, adapted, atol=1e-5)
    assert {name: type(module) for name, module in encoder.named_modules()} == kinds


def test_real_encoder_adapts_every_layer_and_keeps_its_architecture(weights_home: Path) -> None:
    assert (weights_home / "openwakeword").is_dir()
    encoder = pretrained("openwakeword", CONTRACT, seed=0)
    trained = sum(weight.numel() for weight in encoder.parameters())
    tune(encoder, Tuning.LORA)
    names = {name.split(".lora_A")[0] for name, _ in encoder.named_parameters() if "lora_A" in name}
    assert names == {f"convs.{index}" for index in range(20)}
    few = sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)
    assert few < 0.3 * trained
    merge(encoder)
    empty("openwakeword", CONTRACT).load_state_dict(encoder.state_dict())
