"""QAT: a student trained a little further with INT8's rounding in its forward pass.

Batch normalisation is folded into the convolutions and stays frozen; the activations' ranges are those of
calibration and stay fixed, so that the trained weights serve every runtime. The student learns to repeat
its own float outputs: no label and no teacher is needed. Embedding layer and task heads are not trained:
text prototypes and heads that were adapted on a device stay valid.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

from acula_edge.checkpoint import Schedule, Training, fit
from acula_edge.ema import Ema
from acula_edge.students.student import Student
from quantize.prepared import Prepared, Retraining
from quantize.qat_config import QatConfig
from quantize.sites import Ranges, observed_nodes
from quantize.xnnpack import FusedReLU6Quantizer

_FROZEN = ("embedding.", "head.")
_CLIP_NORM, _WARMUP_STEPS, _BATCH = 1.0, 20, 32


@dataclass(frozen=True)
class Lessons:
    """Features (n, 1, n_mels, n_frames) of training clips, and of validation clips to choose an epoch by."""

    train: Tensor
    val: Tensor


def retrain(prepared: Prepared, lessons: Lessons, config: QatConfig, seed: int, checkpoint: Path) -> Prepared:
    """Train `prepared.network` on its grids; a training that was killed goes on from `checkpoint`.

    If no epoch does better on the validation clips than the weights that came, those are kept.
    """
    student = prepared.network
    model = _Rounding(student, prepared, config.ema_decay)
    targets = _run(student, lessons.train), _run(student, lessons.val)

    def batches(_epoch: int, rng: np.random.Generator) -> Iterator[Tensor]:
        order = torch.from_numpy(rng.permutation(len(lessons.train)))
        yield from torch.split(order, config.batch_size)

    def loss(chosen: Tensor) -> dict[str, Tensor]:
        embedding, logits = (part[chosen] for part in targets[0])
        found = model(lessons.train[chosen])
        return {"embedding": error(found[0], embedding), "logits": error(found[1], logits)}

    def validate() -> float:
        return -model.mean_error(lessons.val, targets[1])

    before = validate()
    training = Training(model, batches, loss, validate, stepped=model.follow)
    steps = -(-len(lessons.train) // config.batch_size)
    schedule = Schedule(config.epochs, steps, config.learning_rate, 0.0, _WARMUP_STEPS, _CLIP_NORM, seed)
    history = fit(training, schedule, checkpoint, "qat")
    after = max(record.score for record in history)
    kept = unfold(student, model.average.shadow) if after > before else student
    return prepared.retrained(kept, Retraining(-before, -max(before, after), tuple(history)))


def error(found: Tensor, target: Tensor) -> Tensor:
    """Squared error (n, d) as a share of the target's power."""
    return (found - target).square().mean() / target.square().mean().clamp_min(1e-12)


class _Rounding(nn.Module):
    """The folded student with rounding where INT8 has it, and its average."""

    def __init__(self, student: Student, prepared: Prepared, decay: float) -> None:
        super().__init__()
        self.network = rounding(student, prepared)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(_FROZEN))
        self.average = Ema(self.network, decay)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (B, E) and logits (B, K), rounded."""
        embedding, logits = self.network(features)
        return embedding, logits

    def train(self, mode: bool = True) -> Self:
        """An exported graph has one mode: normalisation is folded, and nothing is dropped."""
        self.training = mode
        return self

    def follow(self) -> None:
        """Let the average take in the weights after a step."""
        self.average.follow(self.network)

    def mean_error(self, features: Tensor, targets: tuple[Tensor, Tensor]) -> float:
        """Relative error of the average's embeddings, plus that of its logits."""
        found = _run(self.average.shadow, features)
        return float(sum(error(one, other) for one, other in zip(found, targets, strict=True)))


def rounding(student: Student, prepared: Prepared) -> GraphModule:
    """The folded student with fake quantisation, its activations' ranges fixed, for batches of any size."""
    example, batch = (prepared.features[:2],), ({0: torch.export.Dim.AUTO},)
    # Without guards: a last batch may hold one clip alone.
    graph = torch.export.export(fold(student), example, dynamic_shapes=batch).module(check_guards=False)
    found: GraphModule = prepare_qat_pt2e(graph, FusedReLU6Quantizer(prepared.scheme, training=True))
    with torch.no_grad():
        found(prepared.features[:2])  # the weights' grids take shape
    _fix(found, prepared.ranges)
    return found


def _fix(graph: GraphModule, ranges: Ranges) -> None:
    for node, rounding_ in observed_nodes(graph):
        observer = rounding_.activation_post_process
        observer.min_val.fill_(ranges[node.name].low)
        observer.max_val.fill_(ranges[node.name].high)
        scale, zero_point = rounding_.calculate_qparams()
        rounding_.scale.copy_(scale)
        rounding_.zero_point.copy_(zero_point)
        rounding_.disable_observer()


def fold(student: Student) -> nn.Module:
    """A copy with each batch normalisation folded into the convolution before it."""
    folded = copy.deepcopy(student).eval()
    for stage in _normalised(folded):
        for place in _convolutions(stage):
            stage[place] = fuse_conv_bn_eval(*_pair(stage, place))
            stage[place + 1] = nn.Identity()
    return folded


@torch.no_grad()
def unfold(student: Student, folded: nn.Module) -> Student:
    """A student of the same shape with the folded weights: its normalisation only adds the biases."""
    weights = dict(folded.named_parameters())
    found = copy.deepcopy(student).eval()
    names = {module: name for name, module in found.named_modules()}
    for stage in _normalised(found):
        for place in _convolutions(stage):
            convolution, norm = _pair(stage, place)
            name = names[convolution]
            assert norm.running_mean is not None
            assert norm.running_var is not None
            convolution.weight.copy_(weights[f"{name}.weight"])
            norm.weight.fill_(1.0)
            norm.bias.copy_(weights[f"{name}.bias"])
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0 - norm.eps)
    return found


def _normalised(model: nn.Module) -> list[nn.Sequential]:
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.Sequential) and any(isinstance(part, nn.BatchNorm2d) for part in module)
    ]


def _convolutions(stage: nn.Sequential) -> list[int]:
    """Places of the convolutions of a stage that a batch normalisation follows."""
    return [place for place in range(len(stage) - 1) if isinstance(stage[place + 1], nn.BatchNorm2d)]


def _pair(stage: nn.Sequential, place: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    convolution, norm = stage[place], stage[place + 1]
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return convolution, norm


@torch.no_grad()
def _run(network: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    pairs = [network(batch) for batch in torch.split(features, _BATCH)]
    embedding, logits = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return embedding, logits
