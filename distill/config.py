"""DistillConfig: the student, what it learns from, and how it is trained."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from acula_edge.students.config import StudentConfig
from acula_edge.students.families import FAMILIES, family
from distill.augment_config import AugmentConfig


class Precision(StrEnum):
    """What the student computes in; weights, losses and the optimiser are always fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


class LossWeights(BaseModel):
    """The weight of each term of the loss; one of weight 0 is not computed.

    `embedding` and `cosine` compare with the teacher's embedding through a projector, `contrastive` asks
    for the right one among the batch's. `distance`, `angle` and `gram` compare how the batch's embeddings
    lie to each other. `logits` are the teacher's, `labels` the recordings' own. `semantic` keeps the
    teacher's place in the space shared with text; `reports` pulls a clip to its own recording's report
    instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding: float = Field(default=0.0, ge=0)
    cosine: float = Field(default=0.0, ge=0)
    distance: float = Field(default=0.0, ge=0)
    angle: float = Field(default=0.0, ge=0)
    gram: float = Field(default=0.0, ge=0)
    contrastive: float = Field(default=0.0, ge=0)
    logits: float = Field(default=0.0, ge=0)
    labels: float = Field(default=1.0, ge=0)
    semantic: float = Field(default=1.0, ge=0)
    reports: float = Field(default=0.0, ge=0)

    @classmethod
    def only(cls, **weights: float) -> LossWeights:
        """These terms and no other."""
        return cls(**{name: weights.pop(name, 0.0) for name in cls.model_fields}, **weights)

    @model_validator(mode="after")
    def _teaches(self) -> Self:
        if not any(self.used.values()):
            raise ValueError("at least one term must have a weight above 0")
        return self

    @property
    def used(self) -> dict[str, float]:
        """The terms that are computed, and their weights."""
        return {name: weight for name, weight in self if weight > 0}


class DistillConfig(BaseModel):
    """`student` is a family's name, or a shape.

    `batch_size` clips make a step, fewer where an epoch would have less than five steps.
    `logit_temperature` softens the teacher's logits, `cosine_temperature` divides cosines before a softmax.
    The student that is kept is the average of its weights over the steps, each step forgotten at
    `ema_decay` (0: no average). With `patience`, training ends after so many epochs without a better
    validation score.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    student: StudentConfig = FAMILIES["small"].config
    weights: LossWeights = LossWeights()
    logit_temperature: float = Field(default=2.0, gt=0)
    cosine_temperature: float = Field(default=0.1, gt=0)
    augment: AugmentConfig = AugmentConfig()
    epochs: int = Field(default=100, gt=0)
    patience: int | None = Field(default=None, gt=0)
    batch_size: int = Field(default=64, gt=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    clip_norm: float = Field(default=5.0, gt=0)
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    precision: Precision = Precision.FP32
    seed: int = 0

    @field_validator("student", mode="before")
    @classmethod
    def _named(cls, student: Any) -> Any:
        return family(student).config if isinstance(student, str) else student
