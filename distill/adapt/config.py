"""AdaptConfig: what the exported training graph computes, and how far a run of it may go."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LessonConfig(BaseModel):
    """What is fixed in `adapt.pte`: clips in a batch, and the loss.

    The loss is `embedding_weight` times the squared error of the embedding, relative to its target's, plus
    `logit_weight` times the divergence of the logits at `temperature`. With little weight on the logits the
    embedding comes nearer to the teacher's while the order of the logits is lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(default=16, gt=1)
    embedding_weight: float = Field(default=1.0, ge=0)
    logit_weight: float = Field(default=3.0, ge=0)
    temperature: float = Field(default=2.0, gt=0)


class AdaptConfig(BaseModel):
    """Epochs of SGD with momentum under guards; `holdout` is the part of the recordings that judges them.

    An epoch whose update is refused is undone, and the learning rate halved; after `patience` refusals in a
    row the run ends. The model and its teacher must agree from the start: mean cosine of the embeddings,
    centred, and mean rank correlation of the logits are at least `min_agreement`: on a few clips even
    shuffled answers reach .3, while a teacher of the same family has .6 or more. The text scores of other
    patients' clips may move by `max_drift` of a cosine on average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lesson: LessonConfig = LessonConfig()
    epochs: int = Field(default=20, gt=0)
    learning_rate: float = Field(default=0.02, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    patience: int = Field(default=4, gt=0)
    holdout: float = Field(default=0.25, gt=0, lt=1)
    min_agreement: float = Field(default=0.4, ge=-1, le=1)
    max_drift: float = Field(default=0.1, gt=0)
    seed: int = Field(default=0, ge=0)
