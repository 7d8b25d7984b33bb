"""DSCNNConfig: the shape of the student network."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator


class Block(BaseModel):
    """One depthwise-separable block: output channels, and strides over mel bands and over frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: PositiveInt
    mel_stride: int = Field(default=1, ge=1, le=2)
    frame_stride: int = Field(default=1, ge=1, le=2)


class DSCNNConfig(BaseModel):
    """Depthwise-separable CNN; by default 108 k parameters, and 7.7 MMAC for 48 x 249 features.

    The strides reduce time first, where a clip is long, so that most parameters stand where the map is
    small and cheap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem_channels: PositiveInt = 24
    blocks: tuple[Block, ...] = (
        Block(channels=32, frame_stride=2),
        Block(channels=64, mel_stride=2, frame_stride=2),
        Block(channels=96, mel_stride=2),
        Block(channels=96, frame_stride=2),
        Block(channels=128),
        Block(channels=160, mel_stride=2, frame_stride=2),
        Block(channels=160),
    )
    embedding_dim: PositiveInt = 128
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_blocks(self) -> Self:
        if not self.blocks:
            raise ValueError("blocks must name at least one block")
        return self
