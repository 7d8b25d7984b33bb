"""Ema: the exponential moving average of a network's weights and statistics."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Ema(nn.Module, Generic[Network]):
    """A shadow of a network that follows it: after each step, shadow = d shadow + (1 - d) network.

    d is `decay`, and less in the first steps, min(decay, (1 + n) / (10 + n)) after n of them, so that the
    first weights are soon forgotten. Batch normalisation's statistics are averaged like the weights;
    counters are copied. The number of steps is part of the state: a resumed average is the same.
    """

    steps: Tensor

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__()
        self.shadow = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._decay = decay

    @torch.no_grad()
    def follow(self, network: Network) -> None:
        """Take in the network's weights after a step."""
        done = int(self.steps)
        share = 1.0 - min(self._decay, (1 + done) / (10 + done))
        averages = self.shadow.state_dict()
        # By name: the copy of a traced graph has its own order.
        pairs = [(averages[name], value) for name, value in network.state_dict().items()]
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        shadows, values = map(list, zip(*moving, strict=True))
        torch._foreach_lerp_(shadows, values, share)  # one launch for all on a GPU
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)
        self.steps += 1
