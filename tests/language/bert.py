"""BERT in numpy, as the paper writes it: an independent check of what transformers computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf, softmax
from tokenizers import Tokenizer

HEADS = 12
LAYERS = 6


class NumpyBert:
    """One text at a time, without padding (Devlin et al., arXiv 1810.04805; post-norm, erf GELU)."""

    def __init__(self, folder: Path) -> None:
        self._weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def token_ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def embed(self, ids: list[int]) -> NDArray[np.float64]:
        """The mean of the last layer over all tokens."""
        w = self._weights
        x = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][: len(ids)]
        )
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            x = self._layer(x.astype(np.float64), f"encoder.layer.{layer}.")
        return np.asarray(x.mean(axis=0))

    def _layer(self, x: NDArray[np.float64], at: str) -> NDArray[np.float64]:
        query, key, value = (
            self._heads(x, f"{at}attention.self.{part}") for part in ("query", "key", "value")
        )
        attention = softmax(query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1]), axis=-1)
        mixed = (attention @ value).transpose(1, 0, 2).reshape(x.shape)
        x = self._norm(
            x + self._linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm"
        )
        wide = self._linear(x, f"{at}intermediate.dense")
        gelu = wide * (1 + erf(wide / np.sqrt(2))) / 2
        return self._norm(x + self._linear(gelu, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _heads(self, x: NDArray[np.float64], at: str) -> NDArray[np.float64]:
        return self._linear(x, at).reshape(len(x), HEADS, -1).transpose(1, 0, 2)

    def _linear(self, x: NDArray[np.float64], at: str) -> NDArray[np.float64]:
        return np.asarray(x @ self._weights[f"{at}.weight"].T + self._weights[f"{at}.bias"])

    def _norm(self, x: NDArray[np.float64], at: str) -> NDArray[np.float64]:
        normal = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(normal * self._weights[f"{at}.weight"] + self._weights[f"{at}.bias"])
