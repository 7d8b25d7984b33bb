"""Alignment learns what pairs say, from waveforms and from cached features, and resumes exactly."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from acula_edge.checkpoint import fit
from acula_edge.encoders.registry import pretrained
from acula_edge.teacher.align import AlignmentModel, align, validation_loss
from acula_edge.teacher.config import Alignment, Lesson, Precision, TeacherConfig, Tuning
from acula_edge.teacher.lessons import shuffled, unpaired
from acula_edge.teacher.pairs import Pairs
from tests.processes import fresh_process
from tests.teacher.tiny import CONTRACT, Float64Model, TinyEncoder, tiny_config, tiny_encoder, tone_pairs


def _train(config: TeacherConfig, train: Pairs, work: Path) -> AlignmentModel:
    model = AlignmentModel(tiny_encoder(), 8, config)
    align(model, train, tone_pairs(12, 9), config, work, "tiny")
    return model


def test_alignment_generalises_from_true_pairs_and_not_from_shuffled_ones(tmp_path: Path) -> None:
    config = TeacherConfig(encoder="small", epochs=8, batch_size=24, crop_seconds=1.0, ssl_weight=0.0)
    train, val = tone_pairs(96, 0), tone_pairs(48, 1)
    scores = {}
    for name, pairs in (("true", train), ("shuffled", shuffled(train, 0))):
        torch.manual_seed(0)
        model = AlignmentModel(pretrained("small", CONTRACT, seed=0), 8, config)
        history = align(model, pairs, val, config, tmp_path, name)
        scores[name] = max(record.score for record in history)
    assert scores["true"] > scores["shuffled"] + 0.1


@pytest.mark.parametrize("alignment", [Alignment.CKA_UNBIASED, Alignment.INFONCE, Alignment.SIGLIP])
def test_every_useful_loss_learns(alignment: Alignment, tmp_path: Path) -> None:
    config = tiny_config(alignment=alignment, epochs=10, ssl_weight=0.0, learning_rate=1e-2, batch_size=24)
    model = AlignmentModel(tiny_encoder(), 8, config)
    val = tone_pairs(24, 1)
    before = validation_loss(model, val, config)
    history = align(model, tone_pairs(72, 0), val, config, tmp_path, "a")
    assert -max(record.score for record in history) < before - 0.1


def test_unpaired_recordings_count_in_the_self_supervised_part_alone() -> None:
    config = tiny_config()
    model = AlignmentModel(tiny_encoder(), 8, config).eval()
    pairs = tone_pairs(12, 0)
    some = replace(pairs, paired=np.arange(12) < 7)

    def parts(chosen: Pairs) -> dict[str, float]:
        batch = chosen.batch(np.arange(12), 0.5, np.random.default_rng(0))
        with torch.no_grad():
            return {name: float(value) for name, value in model.parts(model.represent(batch)).items()}

    told = parts(some)
    nonsense = some.texts.copy()
    nonsense[7:] = np.random.default_rng(5).normal(size=nonsense[7:].shape)
    assert parts(replace(some, texts=nonsense)) == told
    assert told["ssl"] == parts(pairs)["ssl"]
    assert told["align"] != parts(pairs)["align"]
    few = parts(replace(pairs, paired=np.arange(12) < 3))
    assert few == {"align": 0.0, "ssl": told["ssl"]}


def test_ssl_only_moves_the_encoder_and_no_head(tmp_path: Path) -> None:
    config = tiny_config(epochs=2, weight_decay=0.0)
    start = AlignmentModel(tiny_encoder(), 8, config).state_dict()
    after = _train(config, unpaired(tone_pairs(24, 0)), tmp_path).state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, start[name])}
    assert "encoder.last.weight" in moved
    assert not any("head" in name for name in moved)


def test_cached_features_stand_for_their_waveforms() -> None:
    model = AlignmentModel(tiny_encoder(), 8, tiny_config()).eval()
    heard = tone_pairs(12, 0).batch(np.arange(12), 0.5, np.random.default_rng(0))
    with torch.no_grad():
        cached = replace(heard, inputs=model.encoder.trunk(heard.inputs), cached=True)
        for plain, quick in zip(model.represent(heard), model.represent(cached), strict=True):
            assert torch.equal(plain, quick)


def test_alignment_trains_on_cached_features(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    waves = tone_pairs(24, 0)
    with torch.no_grad():
        sound = [torch.from_numpy(wave.astype(np.float32) / 32768)[None] for wave in waves.inputs]
        features = tuple(encoder.trunk(wave)[0].numpy().astype(np.float16) for wave in sound)
    cached = replace(waves, inputs=features, rate_hz=len(features[0]) / 2.0)
    config = tiny_config(epochs=1)
    model = AlignmentModel(encoder, 8, config)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    align(model, cached, cached, config, tmp_path, "cached")
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert "last.weight" in moved
    assert "first.weight" not in moved


def test_micro_batches_end_with_the_weights_of_whole_batches(tmp_path: Path) -> None:
    states = []
    for size in (None, 5):
        config = tiny_config(epochs=3, micro_batch=size)
        model = Float64Model(tiny_encoder(), 8, config).double()
        pairs = tone_pairs(36, 0, forms=3, unpaired=6)
        align(model, pairs, tone_pairs(12, 9), config, tmp_path / str(size), "a")
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.allclose(states[1][name], value, atol=1e-7), name


def train_and_be_killed(work: Path, stop_after: int | None = None) -> AlignmentModel:
    """Alignment with dropout, wordings and micro-batches, saved at each step; ends its process at one."""
    from acula_edge.teacher import align as module

    steps = iter(range(1000))

    class Mortal(AlignmentModel):
        def parts(self, representations: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
            if self.training and next(steps) == stop_after:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().parts(representations)

    config = tiny_config(epochs=3, dropout=0.2, micro_batch=5)
    model = Mortal(tiny_encoder(), 8, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", partial(fit, save_seconds=0.0))
        align(model, tone_pairs(48, 0, forms=3, unpaired=6), tone_pairs(12, 9), config, work, "tiny")
    return model


def test_alignment_killed_within_an_epoch_ends_as_undisturbed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import tests.teacher.test_align as t\n"
        "from safetensors.torch import save_file\n"
        "model = t.train_and_be_killed(Path(sys.argv[1]), eval(sys.argv[2]))\n"
        "save_file(model.state_dict(), sys.argv[1] + '.weights')\n"
    )
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    assert fresh_process(script, cut, 6).returncode == -signal.SIGKILL
    with safe_open(cut / "tiny.safetensors", framework="pt") as stored:
        place = json.loads(stored.metadata()["progress"])
    assert (len(place["history"]), len(place["losses"])) == (1, 2)  # 4 steps an epoch: within the second
    assert [fresh_process(script, work, None).returncode for work in (cut, whole)] == [0, 0]
    assert (tmp_path / "cut.weights").read_bytes() == (tmp_path / "whole.weights").read_bytes()


def test_given_validation_chooses_the_epoch_and_ends_the_training(tmp_path: Path) -> None:
    config = tiny_config(epochs=6, patience=2)
    model = AlignmentModel(tiny_encoder(), 8, config)
    seen: list[torch.Tensor] = []
    scores = iter([0.5, 0.9, 0.1, 0.2])

    def validate() -> float:
        assert not model.training
        seen.append(model.encoder.get_parameter("last.weight").detach().cpu().clone())
        return next(scores)

    history = align(model, tone_pairs(24, 0), tone_pairs(12, 1), config, tmp_path, "a", validate)
    assert [record.score for record in history] == [0.5, 0.9, 0.1, 0.2]
    assert torch.equal(model.encoder.get_parameter("last.weight"), seen[1])


def test_bf16_is_near_fp32_and_keeps_its_weights_and_losses_in_fp32() -> None:
    batch = tone_pairs(12, 0).batch(np.arange(12), 0.5, np.random.default_rng(0))
    model = AlignmentModel(tiny_encoder(), 8, tiny_config()).eval()
    half = AlignmentModel(model.encoder, 8, tiny_config(precision=Precision.BF16)).eval()
    half.load_state_dict(model.state_dict())
    exact, rough = model.represent(batch), half.represent(batch)
    assert all(part.dtype == torch.float32 for part in rough)
    assert not torch.equal(rough[0], exact[0])
    assert torch.allclose(rough[0], exact[0], atol=0.05)
    assert float(half.loss(rough).detach()) == pytest.approx(float(model.loss(exact).detach()), abs=0.05)


def test_the_papers_recipe() -> None:
    paper = TeacherConfig.paper()
    assert (paper.learning_rate, paper.weight_decay, paper.clip_norm) == (1e-5, 1e-2, 1.0)
    assert (paper.batch_size, paper.micro_batch, paper.epochs, paper.warmup_steps) == (48, 24, 50, 400)
    assert (paper.tuning, paper.alignment, paper.teaches) == (Tuning.FULL, Alignment.CKA, Lesson.REPORTS)
    assert (paper.projection_hidden, paper.projection_dim, paper.dropout) == (1024, 512, 0.2)


def test_what_is_frozen_stays_as_it_was_pretrained() -> None:
    encoder = TinyEncoder()
    encoder.first = torch.nn.Sequential(encoder.first, torch.nn.BatchNorm1d(8))  # type: ignore[assignment]
    encoder.freeze_trunk()
    model = AlignmentModel(encoder, 8, tiny_config()).train()
    assert not encoder.first.training
    assert encoder.drop.training
    assert model.audio_head.training
