"""The average of weights against a plain numpy recursion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from acula_edge.ema import Ema


def _walk(decay: float, steps: int) -> tuple[Ema[nn.Module], list[dict[str, np.ndarray]], nn.Module]:
    """A network whose weights and statistics move at random; its states, the first before any step."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average: Ema[nn.Module] = Ema(network, decay)
    states = [{name: value.numpy().copy() for name, value in network.state_dict().items()}]
    for _ in range(steps):
        with torch.no_grad():
            for value in network.parameters():
                value.add_(torch.randn_like(value))
            network(torch.randn(16, 3))
        average.follow(network)
        states.append({name: value.numpy().copy() for name, value in network.state_dict().items()})
    return average, states, network


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_shadow_is_the_recursion_over_weights_and_statistics(decay: float) -> None:
    average, states, _ = _walk(decay, 30)
    for name, found in average.shadow.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert int(found) == 30
            continue
        expected = states[0][name].astype(np.float64)
        for done, state in enumerate(states[1:]):
            d = min(decay, (1 + done) / (10 + done))
            expected = d * expected + (1 - d) * state[name]
        assert found.numpy() == pytest.approx(expected, abs=1e-5)


def test_decay_zero_is_the_network_itself() -> None:
    average, _, network = _walk(0.0, 3)
    for own, value in zip(average.shadow.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(own, value)


def test_shadow_has_no_gradient_and_its_state_resumes() -> None:
    average, _, network = _walk(0.9, 5)
    assert not any(value.requires_grad for value in average.parameters())
    again: Ema[nn.Module] = Ema(network, 0.9)
    again.load_state_dict(average.state_dict())
    for each in (average, again):
        each.follow(network)
    for own, value in zip(average.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(own, value)
    assert int(again.steps) == 6
