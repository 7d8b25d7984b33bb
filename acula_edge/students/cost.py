"""Cost of a student: parameters and multiply-accumulates of one inference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acula_edge.students.student import Student


@dataclass(frozen=True)
class Cost:
    """Number of trained parameters, and of multiply-accumulates for one clip."""

    parameters: int
    macs: int


def cost_of(model: Student) -> Cost:
    """Counted on a real forward pass: the convolutions and linear layers; biases and ReLU6 not counted."""
    counted: list[int] = []

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.get_parameter("weight")
        counted.append(output.numel() * weight[0].numel())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 1, model.n_mels, model.n_frames))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return Cost(sum(p.numel() for p in model.parameters()), sum(counted))
