"""Plan: what a student costs on a device, layer by layer, known from its shape alone.

Everything is counted for the INT8 network of a batch of one, with batch normalisation folded into the
convolution before it, and the ReLU6 and the padding done inside it, as the firmware and XNNPACK do. A
number is a byte wherever the network runs; biases take 4 bytes, and so does the scale of each output
channel of a weight. Attention's products and softmax, and the maps that they read and write, are float: 4
bytes a number; what only gives a map another shape takes none. A runtime that copies a map to pad it, as
LiteRT does where a stride meets an even size, takes more: 50 KiB instead of 35 for `tiny`, 394 instead of
235 for `base`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from acula_edge.errors import UsageError
from acula_edge.students.budget import Budget
from acula_edge.students.config import AttentionBlock, Block, StudentConfig

_BIAS_BYTES, _SCALE_BYTES, _SUM_BYTES, _FLOAT_BYTES = 4, 4, 4, 4
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One operator of the INT8 graph.

    `shape` is that of its output, (channels, mels, frames) or (numbers,); of attention's scores and weights,
    (heads, positions, positions). `kernel` is 0 without weights.
    `activation_bytes` lie in memory while it runs: input, output, and a map that waits for its skip.
    `state_bytes` are the past frames that it keeps when a causal student runs hop by hop.
    """

    name: str
    shape: Shape
    kernel: int
    parameters: int
    macs: int
    activation_bytes: int
    flash_bytes: int
    state_bytes: int


@dataclass(frozen=True)
class Plan:
    """Totals and layers of one student.

    `parameters` are the trained ones, batch normalisation's included. `macs` are the multiply-accumulates
    of a clip in convolutions, linear layers and attention's products. `peak_activation_bytes` is the most
    that lies in memory at once for a whole clip: the features may be overwritten once they are read.
    `flash_bytes` hold INT8 weights, int32 biases and float32 scales. A causal student run hop by hop keeps
    `state_bytes` (past frames in INT8, sum and count of the pooled map in int32) and works in
    `hop_activation_bytes`; both are 0 if it is not causal.
    """

    parameters: int
    macs: int
    peak_activation_bytes: int
    flash_bytes: int
    state_bytes: int
    hop_activation_bytes: int
    layers: tuple[Layer, ...]

    @property
    def ram_bytes(self) -> int:
        """What the device holds: a clip's peak or, for a causal student, the state and a hop's peak."""
        return self.state_bytes + self.hop_activation_bytes or self.peak_activation_bytes

    def exceeds(self, budget: Budget) -> list[str]:
        """A clause for each limit that is broken; none if the student fits."""
        limits = (
            ("RAM", self.ram_bytes / 1024, budget.ram_bytes and budget.ram_bytes / 1024, "KiB"),
            ("flash", self.flash_bytes / 1024, budget.flash_bytes and budget.flash_bytes / 1024, "KiB"),
            ("work", self.macs / 1e6, budget.mmac, "MMAC"),
        )
        return [
            f"{what} {needed:.2f} {unit}, budget {limit:.2f} {unit}"
            for what, needed, limit, unit in limits
            if limit is not None and needed > limit
        ]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "ram_bytes": self.ram_bytes}


def plan_of(config: StudentConfig, n_mels: int, n_frames: int, n_logits: int) -> Plan:
    """The plan of `Student(config, n_mels, n_frames, n_logits)`.

    Raises UsageError if a causal student gets fewer frames than one hop.
    """
    hop = config.frame_stride
    if config.causal and n_frames < hop:
        raise UsageError(f"a causal student of frame stride {hop} needs {hop} frames; {n_frames} are too few")
    layers = tuple(_layers(config, n_mels, n_frames, n_logits))
    state = hop_peak = 0
    if config.causal:
        state = sum(layer.state_bytes for layer in layers)
        hop_peak = max(layer.activation_bytes for layer in _layers(config, n_mels, hop, n_logits))
    return Plan(
        parameters=sum(layer.parameters for layer in layers),
        macs=sum(layer.macs for layer in layers),
        peak_activation_bytes=max(layer.activation_bytes for layer in layers),
        flash_bytes=sum(layer.flash_bytes for layer in layers),
        state_bytes=state,
        hop_activation_bytes=hop_peak,
        layers=layers,
    )


def _layers(config: StudentConfig, n_mels: int, n_frames: int, n_logits: int) -> Iterator[Layer]:
    """Every layer in the order in which it runs: the network of `students.student` and `students.blocks`."""
    walk = _Walk((1, n_mels, n_frames), config.causal)
    yield walk.convolution("stem", config.stem_channels, 3, (2, 2))
    for number, block in enumerate(config.blocks, start=1):
        if isinstance(block, AttentionBlock):
            yield from walk.transformer(f"block {number}", block)
        else:
            yield from walk.block(f"block {number}", block)
    if config.top_channels:
        yield walk.convolution("top", config.top_channels)
    yield walk.mean()
    yield walk.linear("embedding", config.embedding_dim)
    yield walk.linear("head", n_logits)


class _Walk:
    """Follows the map through the network; `shape` is what the last layer put out."""

    def __init__(self, shape: Shape, causal: bool) -> None:
        self.shape = shape
        self._causal = causal

    def block(self, name: str, block: Block) -> Iterator[Layer]:
        """The layers of a separable block or an inverted residual."""
        before, stride = self.shape, (block.mel_stride, block.frame_stride)
        skips = block.expansion is not None and stride == (1, 1) and before[0] == block.channels
        waits = prod(before) if skips else 0
        if block.expansion is not None and block.expansion > 1:
            yield self.convolution(f"{name} widen", before[0] * block.expansion)
            yield self.depthwise(f"{name} depthwise", block.kernel, stride, waits)
        else:
            yield self.depthwise(f"{name} depthwise", block.kernel, stride)
        yield self.convolution(f"{name} pointwise", block.channels, waiting_bytes=waits)
        if skips:
            yield self._layer(f"{name} add", self.shape, waiting_bytes=waits)

    def transformer(self, name: str, block: AttentionBlock) -> Iterator[Layer]:
        """The layers of `students.attention.Transformer`."""
        yield from self._attention(name, block)
        before = self.shape
        yield self.convolution(f"{name} widen", before[0] * block.expansion, waiting_bytes=prod(before))
        yield self.convolution(f"{name} narrow", before[0], waiting_bytes=prod(before))
        yield self._layer(f"{name} second add", before, waiting_bytes=prod(before))

    def _attention(self, name: str, block: AttentionBlock) -> Iterator[Layer]:
        """Query, key and value wait for the products that read them, and the block's input for its skip."""
        before, positions = self.shape, prod(self.shape[1:])
        wide, square = block.heads * block.head_channels, (block.heads, positions, positions)
        x, macs = prod(before), block.head_channels * prod(square)
        held, scores = _FLOAT_BYTES * wide * positions, _FLOAT_BYTES * prod(square)
        for place, part in enumerate(("query", "key", "value"), start=1):
            self.shape = before
            yield self._held(self.convolution(f"{name} {part}", wide), x + place * held)
        mixed = self.shape
        yield self._held(self._layer(f"{name} scores", square, macs=macs), x + 3 * held + scores)
        yield self._held(self._layer(f"{name} softmax", square), x + held + 2 * scores)
        yield self._held(self._layer(f"{name} mix", mixed, macs=macs), x + 2 * held + scores)
        yield self._held(self.convolution(f"{name} out", before[0]), 2 * x + held)
        yield self._layer(f"{name} first add", before, waiting_bytes=x)

    @staticmethod
    def _held(layer: Layer, activation_bytes: int) -> Layer:
        return replace(layer, activation_bytes=activation_bytes)

    def convolution(
        self,
        name: str,
        channels: int,
        kernel: int = 1,
        stride: tuple[int, int] = (1, 1),
        waiting_bytes: int = 0,
    ) -> Layer:
        """A convolution over all channels, with its batch normalisation."""
        return self._convolution(name, channels, self.shape[0], kernel, stride, waiting_bytes)

    def depthwise(
        self, name: str, kernel: int, stride: tuple[int, int] = (1, 1), waiting_bytes: int = 0
    ) -> Layer:
        """A convolution of each channel on its own, with its batch normalisation."""
        return self._convolution(name, self.shape[0], 1, kernel, stride, waiting_bytes)

    def mean(self) -> Layer:
        """The mean over mels and frames. Hop by hop it keeps the sum of each channel, and their count."""
        channels = self.shape[0]
        return self._layer("mean", (channels,), state_bytes=_SUM_BYTES * (channels + 1))

    def linear(self, name: str, numbers: int) -> Layer:
        """A linear layer with bias."""
        weights = self.shape[0] * numbers
        return self._layer(name, (numbers,), 1, weights, weights + numbers, macs=weights)

    def _convolution(
        self, name: str, channels: int, fan: int, kernel: int, stride: tuple[int, int], waiting_bytes: int
    ) -> Layer:
        mels, frames = self.shape[1:]
        # An odd kernel padded by half of itself: a map for each `stride` begun; causal: for each one whole.
        frames = frames // stride[1] if self._causal else -(-frames // stride[1])
        shape = (channels, -(-mels // stride[0]), frames)
        past = max(0, kernel - stride[1]) if self._causal else 0
        weights = channels * fan * kernel**2
        return self._layer(
            name,
            shape,
            kernel,
            weights,
            parameters=weights + 2 * channels,
            macs=weights * prod(shape[1:]),
            waiting_bytes=waiting_bytes,
            state_bytes=self.shape[0] * mels * past,
        )

    def _layer(
        self,
        name: str,
        shape: Shape,
        kernel: int = 0,
        weights: int = 0,
        parameters: int = 0,
        macs: int = 0,
        waiting_bytes: int = 0,
        state_bytes: int = 0,
    ) -> Layer:
        activations = prod(self.shape) + prod(shape) + waiting_bytes
        self.shape = shape
        flash = weights + shape[0] * (_BIAS_BYTES + _SCALE_BYTES) if weights else 0
        return Layer(name, shape, kernel, parameters, macs, activations, flash, state_bytes)
