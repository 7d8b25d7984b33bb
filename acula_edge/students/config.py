"""StudentConfig: the shape of a student network."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Kernel = Literal[3, 5]
Stride = Literal[1, 2]


class Block(BaseModel):
    """One block: output channels, strides over mel bands and over frames, and its kernel.

    Without `expansion` it is depthwise-separable (Howard et al., "MobileNets", 2017). With it, it is an
    inverted residual that widens its input so many times (Sandler et al., "MobileNetV2", 2018).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: PositiveInt
    mel_stride: Stride = 1
    frame_stride: Stride = 1
    kernel: Kernel = 3
    expansion: PositiveInt | None = None


class AttentionBlock(BaseModel):
    """A transformer block over all positions of the map, whose channels it keeps.

    `heads` of `head_channels` each; the two layers behind them are `expansion` times as wide in between.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    heads: PositiveInt
    head_channels: PositiveInt
    expansion: PositiveInt


class StudentConfig(BaseModel):
    """A stem, blocks, perhaps one wider 1 x 1 convolution on top, the mean over the map, an embedding.

    A `causal` student never looks ahead in time, so that it can run hop by hop; see `streaming`. Attention
    always does: it has no streaming form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem_channels: PositiveInt
    blocks: tuple[Block | AttentionBlock, ...]
    top_channels: PositiveInt | None = None
    embedding_dim: PositiveInt = 128
    dropout: float = Field(default=0.1, ge=0, lt=1)
    causal: bool = False

    @model_validator(mode="after")
    def _has_blocks(self) -> Self:
        if not self.blocks:
            raise ValueError("blocks must name at least one block")
        return self

    @model_validator(mode="after")
    def _hears_the_past_alone(self) -> Self:
        if self.causal and self.attends:
            raise ValueError("causal: attention hears the whole clip; leave its blocks out, or causal false")
        return self

    @property
    def attends(self) -> bool:
        """Whether it has a block of attention."""
        return any(isinstance(block, AttentionBlock) for block in self.blocks)

    @property
    def frame_stride(self) -> int:
        """Frames of input for one frame of the last map: the stem's two, times those of the blocks."""
        stride = 2
        for block in self.blocks:
            stride *= block.frame_stride if isinstance(block, Block) else 1
        return stride
