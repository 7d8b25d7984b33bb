"""What a GPU computes: the CPU's losses, the same bits twice, and half precision beside full."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acula_edge.determinism import be_deterministic
from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import Precision as EncoderPrecision
from distill.config import DistillConfig, LossWeights, Precision
from tests.distill import small
from tests.teacher.tiny import tiny_config, tiny_encoder, tone_pairs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

EVERY_TERM = small.CONFIG.model_copy(
    update={
        "weights": LossWeights(**dict.fromkeys(LossWeights.model_fields, 1.0)),
        "student": small.STILL,
    }
)


def _losses(folder: Path, config: DistillConfig) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {}
    small.trained(folder, config, log=lambda name, value, _step: seen.setdefault(name, []).append(value))
    return seen


def test_every_term_is_the_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = _losses(tmp_path / "gpu", EVERY_TERM)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        theirs = _losses(tmp_path / "cpu", EVERY_TERM)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        assert ours[name][:6] == pytest.approx(values[:6], rel=2e-3, abs=1e-5), name


def test_a_student_has_the_same_bits_twice(tmp_path: Path) -> None:
    first, second = (small.trained(tmp_path / name, EVERY_TERM).student.state_dict() for name in "ab")
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert all(value.device.type == "cpu" for value in first.values())


def test_half_precision_learns_the_same_thing(tmp_path: Path) -> None:
    full = _losses(tmp_path / "full", EVERY_TERM)
    half = _losses(tmp_path / "half", EVERY_TERM.model_copy(update={"precision": Precision.BF16}))
    assert half["labels"][:3] == pytest.approx(full["labels"][:3], rel=0.1)
    assert half["labels"] != full["labels"]


@pytest.mark.parametrize("precision", EncoderPrecision)
def test_alignment_learns_and_has_the_same_bits_twice(precision: EncoderPrecision, tmp_path: Path) -> None:
    be_deterministic()
    config = tiny_config(precision=precision, epochs=6, micro_batch=6)
    states, scores = [], []
    for name in "ab":
        model = AlignmentModel(tiny_encoder(), 8, config)
        history = align(model, tone_pairs(48, 0), tone_pairs(12, 9), config, tmp_path / name, "tiny")
        states.append(model.state_dict())
        scores.append([record.score for record in history])
    assert max(scores[0]) > scores[0][0]
    assert scores[0] == scores[1]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
