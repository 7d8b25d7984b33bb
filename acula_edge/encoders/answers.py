"""AlignedTeacher: what an aligned teacher says of any clip: embedding, logits, place among the reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_float32, to_int16
from acula_edge.encoders.projection import ProjectionHead
from acula_edge.encoders.teacher_model import TeacherModel, Variant, embed_clips

_HEAD = "audio_head."


@dataclass(frozen=True)
class Answers:
    """Of k clips: `embedding` (k, D) raw, `logits` (k, K) of the linear probe, `aligned` (k, S).

    All are float32; `aligned` has rows of length 1 in the space shared with text.
    """

    embedding: NDArray[np.float32]
    logits: NDArray[np.float32]
    aligned: NDArray[np.float32]


@dataclass(frozen=True)
class AlignedTeacher:
    """A frozen encoder with its probe and its projection into the space shared with text."""

    model: TeacherModel
    head: ProjectionHead

    @classmethod
    def open(cls, teacher: Artifact, variant: str = Variant.ALIGNED) -> AlignedTeacher:
        """The trained `variant` of a Teacher artifact that has projection heads.

        Raises ArtifactError if the artifact does not hold it or its weights do not fit.
        """
        tensors = load_file(teacher.file(f"heads_{variant}.safetensors"))
        own = {name.removeprefix(_HEAD): value for name, value in tensors.items() if name.startswith(_HEAD)}
        hidden, dim = own["layers.0.weight"].shape
        head = ProjectionHead(dim, hidden, len(own["layers.3.weight"]), dropout=0.0)
        head.load_state_dict(own)
        return cls(TeacherModel.open(teacher, variant), head.eval())

    def answer(self, pcm: NDArray[np.int16], contract: AudioContract) -> Answers:
        """Answers to clips (k, clip_samples) under any contract."""
        return self.answer_at(pcm, contract.sample_rate_hz)

    def answer_at(self, pcm: NDArray[np.int16], rate_hz: int) -> Answers:
        """Answers to clips (k, n) at `rate_hz`, at least one second long.

        What lies above the band that the teacher was aligned in is taken away first. Clips are heard one
        at a time: what an encoder makes of one then fits the cache, 1.6 times as fast as by sixteens.
        """
        own = self.model.contract
        if rate_hz > own.sample_rate_hz:
            lower = [to_int16(resample(to_float32(clip), rate_hz, own.sample_rate_hz)) for clip in pcm]
            pcm, rate_hz = np.stack(lower), own.sample_rate_hz
        heard = own.model_copy(update={"sample_rate_hz": rate_hz})
        encoder = self.model.encoder
        embedding = np.concatenate([embed_clips(encoder, clip[None], heard) for clip in pcm])
        logits = embedding @ self.model.weight.T + self.model.bias
        return Answers(embedding, logits, self._aligned(torch.from_numpy(embedding)))

    @torch.no_grad()
    def _aligned(self, embedding: Tensor) -> NDArray[np.float32]:
        return np.asarray(F.normalize(self.head(embedding), dim=1).numpy(), dtype=np.float32)
