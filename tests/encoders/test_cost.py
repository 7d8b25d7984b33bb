"""Costs against sums written out by hand and published sizes; no weights are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from acula_edge.contract import AudioContract
from acula_edge.encoders.cost import count, encoder_facts
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.encoders.registry import ENCODERS
from acula_edge.encoders.small import SmallEncoder
from acula_edge.encoders.whisper import WhisperEncoder


class TwoLinear(AudioEncoder):
    """100 samples a frame -> 8 -> 4; a head that no embedding depends on."""

    contract = EncoderContract(1000, None, "samples")
    dim = 4
    pretrained = False
    caches_trunk = True

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Linear(100, 8)
        self.late = nn.Linear(8, 4, bias=False)
        self.head = nn.Linear(4, 1000)

    def trunk(self, waveform: Tensor) -> Tensor:
        return self.early(waveform.unflatten(1, (-1, 100)))

    def top(self, hidden: Tensor) -> Tensor:
        return self.late(torch.relu(hidden))

    def pool(self, frames: Tensor) -> Tensor:
        return frames.mean(1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        return (frames,)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        return self.head(views[0]).mean()

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        return [self.early]


def test_parameters_and_products_of_a_toy() -> None:
    assert count(TwoLinear()) == (100 * 8 + 8 + 8 * 4, 80 * (100 * 8 + 8 * 4))


def test_whisper_by_hand() -> None:
    frames, mels, width = 400, 80, 512
    layer = frames * (3 * width * width + width * width + 2 * 4 * width * width) + 2 * frames**2 * width
    convolutions = 2 * frames * 3 * mels * width + frames * 3 * width * width
    filters = mels * 201 * 2 * frames
    parameters, macs = count(WhisperEncoder())
    assert parameters == 19_825_664
    assert macs == filters + convolutions + 6 * layer


def test_the_small_encoder_counts_all_but_its_similarity() -> None:
    encoder = SmallEncoder(AudioContract())
    own = [value for name, value in encoder.named_parameters() if not name.startswith("similarity.")]
    assert count(encoder)[0] == sum(value.numel() for value in own)


def test_every_encoder_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACULA_EDGE_HOME", str(tmp_path))
    facts = {row.name: row for row in encoder_facts(AudioContract())}
    assert list(facts) == list(ENCODERS)
    assert [name for name, row in facts.items() if row.here] == ["small"]
    assert facts["openwakeword"].parameters == 328_152
    assert round(facts["ast"].parameters / 1e6, 1) == 86.2
    # 1214 tokens, 12 layers: products with weights, scores and mixtures; then the patches.
    ast = 12 * (1214 * 12 * 768**2 + 2 * 1214**2 * 768) + 1212 * 256 * 768
    assert facts["ast"].mmac == pytest.approx(ast / 1e6)
    assert facts["clap"].sample_rate_hz == 48000
    assert facts["audiomae"].ssl == "masked patches"
    assert facts["audiomae"].to_json()["licence"] == "CC-BY-NC-4.0"
