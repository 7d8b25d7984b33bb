"""AudioEncoder: what the teacher asks of any audio encoder."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class AudioEncoder(nn.Module):
    """A trainable network from a waveform to one embedding, with its self-supervised loss.

    `sample_rate_hz` is the rate it hears, `dim` the length of an embedding, and `pretrained` whether
    its weights come from elsewhere (else the teacher pre-trains it with `ssl_loss` first).
    """

    sample_rate_hz: int
    dim: int
    pretrained: bool

    @abstractmethod
    def frames(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, T, C) features over time."""

    @abstractmethod
    def pool(self, frames: Tensor) -> Tensor:
        """(B, T, C) -> (B, dim): one embedding for a clip."""

    @abstractmethod
    def ssl_loss(self, frames: Tensor) -> Tensor:
        """(B, T, C) -> scalar: the encoder's own self-supervised objective on a batch of clips."""

    def freeze_trunk(self) -> None:
        """Keep the general early layers as they were pretrained; by default there are none."""

    def embed(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, dim)."""
        return self.pool(self.frames(waveform))
