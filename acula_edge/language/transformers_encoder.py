"""Any transformers language model as a frozen text encoder.

As in AcuLa (arXiv 2512.04847): text in lower case, at most 128 tokens, the last hidden layer averaged
over the tokens. Only *real* tokens count here: the published code averages padding too, so that a
text's embedding there depends on the texts beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import DataError, UsageError
from acula_edge.language.loading import Source, load_model, precision

MAX_TOKENS = 128


class TransformersEncoder:
    """A BERT-like encoder or a causal language model; never trained, never downloaded.

    `causal=True` leaves the first token out of a mean: every later token attends to it, whatever it
    says ("attention sink", Xiao et al., arXiv 2309.17453), so that it carries no meaning of its own.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        causal: bool = False,
        layer: int = -1,
        pooling: str = "mean",
        batch_size: int = 32,
    ) -> None:
        """Load the model in `source`, to read hidden layer `layer`.

        Layer 0 is the token embedding, n the output of block n; -1 is the last one. `pooling` is mean,
        last or cls. Raises UsageError for a layer or a pooling that the model does not have, ToolError
        if transformers is not installed or can not read the folder.
        """
        from acula_edge.language.pooling import POOLINGS, Pooling

        _check_pooling(name, pooling, causal)
        self.name = name
        self._drop_first_token = causal and pooling == Pooling.MEAN
        self._batch_size = batch_size
        self._pool = POOLINGS[Pooling(pooling)]
        self._tokenizer, self._model = load_model(source, "AutoModel")
        self._tokenizer.padding_side = "right"  # the first token must be column 0
        self._layer = _layer_index(name, layer, self._config.num_hidden_layers)
        settings = [source.digest, MAX_TOKENS, batch_size, causal, self._layer, pooling]
        settings += [precision(), source.eight_bit]
        self.fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    @property
    def dim(self) -> int:
        """Length of an embedding: the model's hidden size."""
        return int(self._config.hidden_size)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of `texts`, float32 (n, dim), in their order. Raises DataError for an empty text."""
        lowered = [text.strip().lower() for text in texts]
        if "" in lowered:
            raise DataError(
                f"text {lowered.index('') + 1} of {len(lowered)} is empty; give every report a word"
            )
        result = np.empty((len(lowered), self.dim), dtype=np.float32)
        by_length = sorted(range(len(lowered)), key=lambda index: len(lowered[index]))  # least padding
        for start in range(0, len(by_length), self._batch_size):
            rows = by_length[start : start + self._batch_size]
            result[rows] = self._embed_batch([lowered[row] for row in rows])
        return result

    @property
    def _config(self) -> Any:
        return self._model.config.get_text_config()

    def _embed_batch(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        batch = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        ).to(self._model.device)
        mask = batch["attention_mask"]
        with torch.inference_mode():
            output = self._model(input_ids=batch["input_ids"], attention_mask=mask, output_hidden_states=True)
            hidden = output.hidden_states[self._layer].float()
        if self._drop_first_token:
            mask = mask.clone()
            mask[mask.sum(dim=1) > 1, 0] = 0  # a text of one token keeps it
        return np.asarray(self._pool(hidden, mask).cpu().numpy(), dtype=np.float32)


def _check_pooling(name: str, pooling: str, causal: bool) -> None:
    from acula_edge.language.pooling import Pooling

    if pooling not in set(Pooling):
        raise UsageError(f"there is no pooling {pooling}; choose one of {', '.join(Pooling)}")
    if causal and pooling == Pooling.CLS:
        raise UsageError(
            f"{name} is a causal model, whose first token has seen nothing of the text; "
            f"choose {Pooling.MEAN} or {Pooling.LAST} as pooling"
        )


def _layer_index(name: str, layer: int, last: int) -> int:
    """`layer` counted from the token embedding, 0 to `last`."""
    if not -last - 1 <= layer <= last:
        raise UsageError(
            f"{name} has no layer {layer}; choose 0 (token embedding) to {last}, or -{last + 1} to -1"
        )
    return layer % (last + 1)
