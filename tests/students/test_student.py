"""The student network: its shapes, its foldable normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from acula_edge.students.config import Block, StudentConfig
from acula_edge.students.families import FAMILIES
from acula_edge.students.student import Student

SMALL = StudentConfig(stem_channels=4, blocks=(Block(channels=6, frame_stride=2),), embedding_dim=5)


def test_outputs_are_embedding_then_logits_and_logits_are_linear_in_the_embedding() -> None:
    model = Student(SMALL, 8, 10, 3).eval()
    embedding, logits = model(torch.randn(2, 1, 8, 10, generator=torch.Generator().manual_seed(0)))
    assert embedding.shape == (2, 5)
    assert logits.shape == (2, 3)
    weight, bias = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    expected = embedding.detach().numpy() @ weight.T + bias
    np.testing.assert_allclose(logits.detach().numpy(), expected, atol=1e-6)


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    model = Student(SMALL, 8, 10, 3).eval()
    features = torch.randn(3, 1, 8, 10, generator=torch.Generator().manual_seed(1))
    together = model(features)[0]
    alone = torch.cat([model(features[i : i + 1])[0] for i in range(3)])
    torch.testing.assert_close(together, alone)


def test_every_normalisation_follows_a_convolution_without_bias() -> None:
    trunk = Student(FAMILIES["small"].config, 48, 249, 20).trunk
    layers = [layer for layer in trunk.modules() if not list(layer.children())]
    norms = [index for index, layer in enumerate(layers) if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 15
    for index in norms:
        convolution = layers[index - 1]
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is None
        assert isinstance(layers[index + 1], nn.ReLU6)


@pytest.mark.parametrize(
    "wrong",
    [{"blocks": []}, {"embedding_dim": 0}, {"blocks": [{"channels": 8, "mel_stride": 3}]}, {"widht": 1}],
)
def test_impossible_shapes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StudentConfig.model_validate(wrong)
