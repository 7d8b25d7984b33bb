"""TeacherModel: a frozen audio encoder with its linear probes, ready to score recordings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_float32, to_int16
from acula_edge.data.clips import cut_clips
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import empty
from acula_edge.errors import ArtifactError

TEACHER_FILE = "teacher.json"
_BATCH = 16


class Variant(StrEnum):
    """Which encoder of a Teacher artifact: before alignment, after it, or a control."""

    BASE = "base"
    ALIGNED = "aligned"
    SHUFFLED = "shuffled"
    CONSTANT = "constant"
    BAG_OF_WORDS = "bag_of_words"
    SSL_ONLY = "ssl_only"


@dataclass(frozen=True)
class TeacherModel:
    """`weight` (K, D) and `bias` (K,) turn a recording's embedding into the logits of all tasks.

    The encoder hears what the device hears: audio at the contract's rate, brought to its input rate.
    """

    encoder: AudioEncoder
    contract: AudioContract
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def open(cls, artifact: Artifact, variant: str) -> TeacherModel:
        """The model `variant` of a Teacher artifact.

        Raises ArtifactError if the artifact does not hold it or its weights do not fit.
        """
        contract = AudioContract.of(artifact.manifest.contract)
        facts = artifact.read_json(TEACHER_FILE)
        encoder = empty(facts["encoder"], contract, facts["speed"])
        path = artifact.file(f"{variant}.safetensors")
        tensors = load_file(artifact.file(f"{Variant.BASE}.safetensors")) | load_file(path)
        own = (name for name in tensors if name.startswith("encoder."))
        state = {name.removeprefix("encoder."): tensors[name] for name in own}
        try:
            encoder.load_state_dict(state)
        except RuntimeError as error:
            raise ArtifactError(f"{path} does not fit its encoder: {error}; train it again") from None
        probe = (tensors["probe.weight"].numpy(), tensors["probe.bias"].numpy())
        return cls(encoder.eval(), contract, *probe)

    def save(self, folder: Path, variant: str, base: TeacherModel | None = None) -> None:
        """Write `<variant>.safetensors` into `folder`: of the encoder, what differs from `base`'s."""
        known = base.encoder.state_dict() if base else {}
        tensors = {
            f"encoder.{name}": value.contiguous()
            for name, value in self.encoder.state_dict().items()
            if name not in known or not torch.equal(value, known[name])
        }
        tensors["probe.weight"] = torch.from_numpy(self.weight)
        tensors["probe.bias"] = torch.from_numpy(self.bias)
        save_file(tensors, folder / f"{variant}.safetensors")

    def embed(self, waveform: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        """Embedding (D,) of a recording (n,) at `rate_hz`: the mean over its clips."""
        samples = to_int16(resample(waveform, rate_hz, self.contract.sample_rate_hz))
        clips = cut_clips(samples, self.contract.clip_samples)
        mean: NDArray[np.float32] = embed_clips(self.encoder, clips, self.contract).mean(axis=0)
        return mean

    def logits(self, waveform: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        """Logits (K,) of a recording (n,) at `rate_hz`, full scale 1.0."""
        logits: NDArray[np.float32] = self.weight @ self.embed(waveform, rate_hz) + self.bias
        return logits


def embed_clips(
    encoder: AudioEncoder, clips: NDArray[np.int16], contract: AudioContract
) -> NDArray[np.float32]:
    """Embeddings (k, D) of clips (k, clip_samples) at the contract's rate."""
    encoder.eval()
    with torch.no_grad():
        parts = [encoder.embed(batch) for batch in torch.split(hear_clips(encoder, clips, contract), _BATCH)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def hear_clips(encoder: AudioEncoder, clips: NDArray[np.int16], contract: AudioContract) -> Tensor:
    """Clips (k, clip_samples) at the contract's rate -> (k, samples) float32 as the encoder hears them."""
    rate_hz = encoder.input_rate_hz
    waveforms = [resample(to_float32(clip), contract.sample_rate_hz, rate_hz) for clip in clips]
    return torch.from_numpy(np.stack(waveforms))
