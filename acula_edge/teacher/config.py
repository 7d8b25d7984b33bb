"""TeacherConfig: how the frozen language model teaches the audio encoder."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Alignment(StrEnum):
    """Which alignment loss to train with."""

    CKA = "cka"
    RELEASED = "released"


class TeacherConfig(BaseModel):
    """The recipe of AcuLA (arXiv 2512.04847), sized for a small encoder on a CPU.

    The losses' weights, the projection heads and the optimiser are the paper's; the learning rate
    is higher and the epochs are fewer, for an encoder of 0.3 M parameters instead of 21 M. The
    pretrained encoder learns at `encoder_rate` times the rate of the new heads, and its general early
    layers stay as they are: a thousand recordings are enough to forget what they knew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = "openwakeword"
    language: str = "minilm"
    alignment: Alignment = Alignment.CKA
    alignment_weight: float = Field(default=1.0, ge=0)
    ssl_weight: float = Field(default=1.0, ge=0)
    projection_hidden: int = Field(default=1024, gt=0)
    projection_dim: int = Field(default=512, gt=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    freeze_trunk: bool = True
    epochs: int = Field(default=5, gt=0)
    batch_size: int = Field(default=48, gt=1)
    crop_seconds: float = Field(default=4.0, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    encoder_rate: float = Field(default=0.3, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=20, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    pretrain_epochs: int = Field(default=15, ge=0)
    pretrain_learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = 0
