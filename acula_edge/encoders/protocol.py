"""AudioEncoder: what the teacher asks of any audio encoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class EncoderContract:
    """What an encoder hears: its rate, the clip it was trained on (None: any length), and its features.

    An encoder takes clips of any length from one second on; it pads or cuts as its authors do. `top_hz` is
    the highest frequency that it hears, for an encoder of other sounds than those of the body; None for one
    that knows body sounds by their pitch.
    """

    sample_rate_hz: int
    clip_seconds: float | None
    features: str
    top_hz: float | None = None

    def speed_for(self, f_max_hz: float) -> float:
        """How many times as fast it hears a device that hears up to `f_max_hz`: its band is then filled.

        Heart and lung sounds lie below 2 kHz, in the lowest quarter of what a speech encoder can tell apart.
        """
        return max(1.0, self.top_hz / f_max_hz) if self.top_hz else 1.0


class AudioEncoder(nn.Module):
    """A trainable network from a waveform to one embedding, with its self-supervised loss.

    It is cut in two: `trunk`, the general early layers, and `top`, the late ones that alignment
    changes first. `dim` is the length of an embedding, and `pretrained` whether its weights come from
    elsewhere (else the teacher pre-trains it with `ssl_loss` first). `caches_trunk` says that
    `ssl_views` needs the frames alone, so that a frozen trunk may be computed once. Recordings are heard
    `speed` times as fast as they are, so much higher in pitch.
    """

    contract: EncoderContract
    speed: float = 1.0
    dim: int
    pretrained: bool
    caches_trunk: bool

    @property
    def input_rate_hz(self) -> int:
        """The rate that a recording is brought to; the encoder takes it for its own rate."""
        return round(self.contract.sample_rate_hz / self.speed)

    @abstractmethod
    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, T, ...) hidden features; axis 1 is time."""

    @abstractmethod
    def top(self, hidden: Tensor) -> Tensor:
        """(B, T, ...), all of `trunk`'s output or a stretch of its time -> (B, T', C) frames."""

    @abstractmethod
    def pool(self, frames: Tensor) -> Tensor:
        """(B, T', C) -> (B, dim): one embedding for a clip."""

    @abstractmethod
    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:
        """What the self-supervised loss needs of each clip: tensors with a row a clip.

        `waveform` (B, samples) is None where the trunk is cached.
        """

    @abstractmethod
    def ssl_loss(self, *views: Tensor) -> Tensor:
        """The encoder's own objective on the views of a batch: scalar."""

    @abstractmethod
    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """The parts with weights that `trunk` is made of."""

    def freeze_trunk(self) -> None:
        """Keep the general early layers as they were pretrained."""
        for part in self.trunk_modules():
            part.requires_grad_(False)

    def frames(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, T', C) features over time."""
        return self.top(self.trunk(waveform))

    def embed(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, dim)."""
        return self.pool(self.frames(waveform))
