"""TextEncoder: what every language model must do for the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TextEncoder(Protocol):
    """A frozen language model that maps a report to one vector."""

    @property
    def name(self) -> str:
        """Name in `acula_edge.language.registry`, or of the folder it was loaded from."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the weights and of every setting that an embedding depends on."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of `texts`, float32 (n, dim), in their order. Raises DataError for an empty text."""
