"""TeacherConfig: how the frozen language model teaches the audio encoder."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Alignment(StrEnum):
    """Which alignment loss to train with."""

    CKA = "cka"
    CKA_UNBIASED = "cka_unbiased"
    RELEASED = "released"
    INFONCE = "infonce"
    SIGLIP = "siglip"


class Tuning(StrEnum):
    """Which weights of the encoder learn."""

    TOP = "top"  # the late layers; the general early ones stay as they were pretrained
    FULL = "full"
    LORA = "lora"  # low-rank changes of every layer, merged into its weights afterwards


class Lesson(StrEnum):
    """What stands on the text side; all but REPORTS are controls."""

    REPORTS = "reports"
    SHUFFLED = "shuffled"
    CONSTANT = "constant"
    BAG_OF_WORDS = "bag_of_words"
    SSL_ONLY = "ssl_only"


class Precision(StrEnum):
    """What the encoder computes in; weights, losses and the optimiser are always fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


class TextPooling(StrEnum):
    """How the language model's token vectors become one."""

    MEAN = "mean"
    LAST = "last"
    CLS = "cls"


class TeacherConfig(BaseModel):
    """The recipe of AcuLA (arXiv 2512.04847), sized for a small encoder on a CPU.

    The losses' weights, the projection heads and the optimiser are the paper's; the learning rate
    is higher and the epochs are fewer, for a thousand recordings instead of a hundred thousand. The
    pretrained encoder learns at `encoder_rate` times the rate of the new heads, and its general early
    layers stay as they are: so few recordings are enough to forget what they knew. `paper()` is
    the recipe as published.

    The loss is one over the whole batch of `batch_size` clips, whatever the number of processes;
    `micro_batch` clips are in memory at a time (None: all). With `patience`, the epoch is chosen by the
    probes' mean validation AUROC, and training ends after so many epochs without a better one; without
    it, by the validation loss. Recordings are heard `speed` times as fast as they are (None: so that the
    device's band fills a speech encoder's). `rewriter` names a causal language model that tells the plain
    reports in other words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = "whisper-base-3"
    speed: float | None = Field(default=None, gt=0)
    language: str = "minilm"
    language_layer: int = -1
    language_pooling: TextPooling = TextPooling.MEAN
    rewriter: str | None = None
    surface_forms: int = Field(default=1, ge=1)
    teaches: Lesson = Lesson.REPORTS
    alignment: Alignment = Alignment.CKA
    alignment_weight: float = Field(default=1.0, ge=0)
    ssl_weight: float = Field(default=1.0, ge=0)
    projection_hidden: int = Field(default=1024, gt=0)
    projection_dim: int = Field(default=512, gt=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    tuning: Tuning = Tuning.TOP
    epochs: int = Field(default=5, gt=0)
    patience: int | None = Field(default=None, gt=0)
    batch_size: int = Field(default=48, gt=1)
    micro_batch: int | None = Field(default=None, gt=0)
    precision: Precision = Precision.FP32
    crop_seconds: float = Field(default=4.0, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    encoder_rate: float = Field(default=0.03, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=20, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    pretrain_epochs: int = Field(default=15, ge=0)
    pretrain_learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = 0

    @classmethod
    def paper(cls) -> TeacherConfig:
        """AcuLA's own recipe: AdamW 1e-5, 50 epochs, 400 steps of warm-up, the whole of OPERA-GT.

        Its batch is 24 clips, two of them accumulated. Here the loss sees all 48 at once: the mean of
        two CKAs over 24 clips is not the CKA over 48.
        """
        return cls(
            encoder="opera-gt",
            speed=1.0,
            language="medgemma-4b",
            tuning=Tuning.FULL,
            epochs=50,
            batch_size=48,
            micro_batch=24,
            crop_seconds=8.18,
            learning_rate=1e-5,
            encoder_rate=1.0,
            weight_decay=1e-2,
            warmup_steps=400,
            clip_norm=1.0,
        )
