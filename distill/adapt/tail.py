"""Tail: the part of a student that is trained on the device, its last block, embedding and task heads.

Batch normalisation is folded into the convolutions, in the order of operations in which the .tflite's
converter folds it, so that unchanged weights quantise to the bundle's own bits. As in the .tflite, the
heads see the embedding before its offset is added; their bias carries what the offset gave them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.errors import ArtifactError
from acula_edge.students.student import Student
from distill.adapt.layer import FloatLayer, Kind


class Pointwise(nn.Module):
    """A 1 x 1 convolution as a matrix product, which the portable kernels compute 14 times as fast."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.flatten(1))
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h, w)."""
        batch, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch * height * width, channels)
        y = F.linear(rows, self.weight, self.bias)
        return y.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


class Tail(nn.Module):
    """Map (B, C, h, w) that the trunk puts out -> embedding (B, E) and logits (B, K)."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.block = folded(nn.Sequential(student.trunk[-1]))
        embedding, head = student.embedding, student.head
        self.project = nn.Linear(embedding.in_features, embedding.out_features, bias=False)
        self.offset = nn.Parameter(embedding.bias.detach().clone())
        self.head = nn.Linear(head.in_features, head.out_features)
        with torch.no_grad():
            self.project.weight.copy_(embedding.weight)
            self.head.weight.copy_(head.weight)
            self.head.bias.copy_(head.weight.double() @ embedding.bias.double() + head.bias.double())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and logits, float32."""
        projected = self.project(self.block(x).mean((2, 3), keepdim=True).flatten(1))
        return projected + self.offset, self.head(projected)

    def layers(self) -> list[FloatLayer]:
        """The weighted layers, in the order in which a .tflite runs them."""
        none = np.zeros(0, dtype=np.float32)
        return [
            *(_float_layer(module) for module in self._convolutions()),
            FloatLayer(Kind.FULLY_CONNECTED, _array(self.project.weight), none),
            FloatLayer(Kind.ADD, _array(self.offset), none),
            FloatLayer(Kind.FULLY_CONNECTED, _array(self.head.weight), _array(self.head.bias)),
        ]

    def _convolutions(self) -> Iterator[nn.Module]:
        return (module for module in self.block.modules() if isinstance(module, Pointwise | nn.Conv2d))


def trunk_of(student: Student) -> nn.Module:
    """What stays as it is: features (B, 1, n_mels, n_frames) -> the map that the tail takes."""
    return student.trunk[:-1].eval()


def folded(module: nn.Module) -> nn.Module:
    """A copy with each batch normalisation folded into the convolution before it, and no dropout."""
    copied = copy.deepcopy(module).eval()
    for parent in list(copied.modules()):
        for (name, layer), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, _fold(layer, norm))
                setattr(parent, after, nn.Identity())
    return copied


@torch.no_grad()
def _fold(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    inverse = torch.rsqrt(variance + norm.eps)
    weight = layer.weight * inverse[:, None, None, None] * norm.weight[:, None, None, None]
    bias = norm.bias - mean * inverse * norm.weight
    if layer.kernel_size == (1, 1):
        return Pointwise(weight, bias)
    if layer.groups != layer.in_channels:
        raise ArtifactError("the last block holds a convolution that is neither depthwise nor 1 x 1")
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(bias)
    return layer


def _float_layer(module: nn.Module) -> FloatLayer:
    if isinstance(module, Pointwise):
        return FloatLayer(Kind.CONVOLUTION, _array(module.weight)[:, None, None, :], _array(module.bias))
    assert isinstance(module, nn.Conv2d)
    assert module.bias is not None
    depthwise = _array(module.weight).transpose(1, 2, 3, 0)
    return FloatLayer(Kind.DEPTHWISE, np.ascontiguousarray(depthwise), _array(module.bias))


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().numpy().copy()
