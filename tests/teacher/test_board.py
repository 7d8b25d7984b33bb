"""Curves for TensorBoard, read back by TensorBoard itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from acula_edge.teacher import board
from acula_edge.teacher.align import AlignmentModel, align
from tests.teacher.tiny import tiny_config, tiny_encoder, tone_pairs


def _align(work: Path) -> list[float]:
    config = tiny_config(epochs=2)
    model = AlignmentModel(tiny_encoder(), 8, config)
    history = align(model, tone_pairs(24, 0), tone_pairs(12, 1), config, work, "aligned")
    return [record.score for record in history]


def test_parts_rates_and_validation_stand_in_the_event_file(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    scores = _align(tmp_path)
    found = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "aligned"))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {"align", "ssl", "rate", "validation"}
    assert [event.step for event in found.Scalars("align")] == [0, 1, 2, 3]
    assert [event.value for event in found.Scalars("validation")] == pytest.approx(scores)


def test_without_tensorboard_training_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(board, "find_spec", lambda _name: None)
    assert len(_align(tmp_path)) == 2
    assert "TensorBoard is not installed" in capsys.readouterr().err
    assert not (tmp_path / "tensorboard").exists()


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    board.open_board(tmp_path / "tensorboard", main=False)("loss", 1.0, 0)
    assert list(tmp_path.iterdir()) == []
