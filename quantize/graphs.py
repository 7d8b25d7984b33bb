"""Torch modules that give the exported graphs their inputs and outputs."""

from __future__ import annotations

from torch import Tensor, nn


class WithFrontEnd(nn.Module):
    """int16 PCM (1, clip_samples) -> front end -> network; embedding and logits."""

    def __init__(self, front_end: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.front_end = front_end
        self.network = network

    def forward(self, pcm: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (1, E) and logits (1, K) of one clip."""
        embedding, logits = self.network(self.front_end(pcm))
        return embedding, logits


class NamedFeatures(nn.Module):
    """Log-mel features in; outputs named embedding and logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Features (1, 1, n_mels, n_frames) of one clip."""
        embedding, logits = self.network(features)
        return {"embedding": embedding, "logits": logits}


class NamedPcm(nn.Module):
    """PCM in, the front end inside; outputs named embedding and logits."""

    def __init__(self, front_end: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.front_end = front_end
        self.network = network

    def forward(self, pcm: Tensor) -> dict[str, Tensor]:
        """PCM int16 (1, clip_samples) of one clip."""
        embedding, logits = self.network(self.front_end(pcm))
        return {"embedding": embedding, "logits": logits}
