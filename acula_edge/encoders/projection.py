"""ProjectionHead: from a representation into the shared space."""

from __future__ import annotations

from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Linear - ReLU - Dropout - Linear, as in AcuLA: hidden 1024, out 512, dropout 0.2."""

    def __init__(self, dim: int, hidden: int, out: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim) -> (B, out)."""
        projected: Tensor = self.layers(x)
        return projected
