"""DistillConfig: the student and how it is trained."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acula_edge.students.config import StudentConfig
from acula_edge.students.families import FAMILIES, family


class DistillConfig(BaseModel):
    """Weights of the loss terms, augmentation and schedule; `student` is a family's name, or a shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    student: StudentConfig = FAMILIES["small"].config
    embedding_weight: float = Field(default=1.0, ge=0)
    task_weight: float = Field(default=0.3, ge=0)
    gain_db: float = Field(default=6.0, ge=0)
    mel_mask: int = Field(default=6, ge=0)
    frame_mask: int = Field(default=24, ge=0)
    epochs: int = Field(default=40, gt=0)
    batch_size: int = Field(default=64, gt=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    clip_norm: float = Field(default=5.0, gt=0)
    seed: int = 0

    @field_validator("student", mode="before")
    @classmethod
    def _named(cls, student: Any) -> Any:
        return family(student).config if isinstance(student, str) else student
