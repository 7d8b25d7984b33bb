"""What OPERA-CT and OPERA-CE share: the front end, COLA's head, and batch normalisation at rest."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.cola import BilinearSimilarity, cola_loss, halves
from acula_edge.encoders.opera_frontend import FEATURES, RATE_HZ, OperaMel
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract

CLIP_SECONDS = 8.0
# How the names of `similarity` read in OPERA's checkpoints.
SIMILARITY_NAMES = {
    "similarity.project.": "g.",
    "similarity.norm.": "layer_norm.",
    "similarity.weight": "linear.weight",
}
_SIMILARITY_WIDTH = 512


class RestingBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the published statistics, in training too.

    Alignment sees few clips at a time, and a clip's embedding must not depend on its neighbours.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C, ...)."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class OperaColaEncoder(AudioEncoder):
    """An encoder on OPERA's features with COLA's bilinear head.

    OPERA compares two random crops of a recording; here they are the halves of a clip. The dropout and
    stochastic depth of OPERA's own training are left out.
    """

    contract = EncoderContract(RATE_HZ, CLIP_SECONDS, FEATURES)
    pretrained = True
    caches_trunk = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.mel = OperaMel(round(CLIP_SECONDS * RATE_HZ))
        self.similarity = BilinearSimilarity(dim, _SIMILARITY_WIDTH)

    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) -> (B, T, mel bands, channels)."""
        return self.early(self.mel(waveform))

    @abstractmethod
    def early(self, mel: Tensor) -> Tensor:
        """The trunk on features: (B, frames, 64) -> (B, T, mel bands, channels)."""

    def pool(self, frames: Tensor) -> Tensor:
        """(B, T', dim) -> (B, dim): mean over time."""
        return frames.mean(1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """The mean frame of each half of the clip: (B, dim), (B, dim)."""
        return halves(frames)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        """COLA between the two halves of each clip."""
        first, second = views
        return cola_loss(first, second, self.similarity)

    @torch.no_grad()
    def turn_similarity(self) -> None:
        """Read the weight just loaded as OPERA means it: a linear layer on the left, W g(x)."""
        self.similarity.weight.copy_(self.similarity.weight.T.clone())
