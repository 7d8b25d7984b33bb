"""Any transformers model folder as a frozen text encoder.

As in AcuLa (arXiv 2512.04847): text in lower case, at most 128 tokens, the last hidden layer averaged
over the tokens. Only *real* tokens count here: the published code averages padding too, so that a
text's embedding there depends on the texts beside it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import DataError, ToolError, missing_extra

MAX_TOKENS = 128


class TransformersEncoder:
    """A BERT-like encoder or a causal language model; never trained, never downloaded.

    Causal models read `drop_first_token=True`: every later token attends to the first one, whatever it
    says ("attention sink", Xiao et al., arXiv 2309.17453), so that it carries no meaning of its own.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        weights_digest: str,
        *,
        gguf_file: str | None = None,
        drop_first_token: bool = False,
        batch_size: int = 32,
    ) -> None:
        """Load the model in `folder` (`gguf_file` in it, for a GGUF model).

        Raises ToolError if transformers is not installed or can not read the folder.
        """
        self.name = name
        self._drop_first_token = drop_first_token
        self._batch_size = batch_size
        self._tokenizer, self._model = _load(folder, gguf_file)
        settings = [weights_digest, MAX_TOKENS, drop_first_token, batch_size]
        self.fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    @property
    def dim(self) -> int:
        """Length of an embedding: the model's hidden size."""
        return int(self._model.config.get_text_config().hidden_size)

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

    def _embed_batch(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        batch = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        mask = batch["attention_mask"]
        with torch.inference_mode():
            hidden = self._model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state.float()
        if self._drop_first_token:
            mask = mask.clone()
            mask[mask.sum(dim=1) > 1, 0] = 0  # a text of one token keeps it
        weight = mask.unsqueeze(-1).float()
        mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        return np.asarray(mean.numpy(), dtype=np.float32)


def _load(folder: Path, gguf_file: str | None) -> tuple[Any, Any]:
    """Tokenizer and model (evaluation mode, no gradients) from local files alone."""
    try:
        with _silence():
            from transformers import AutoModel, AutoTokenizer

            options = {"local_files_only": True, **({"gguf_file": gguf_file} if gguf_file else {})}
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            model = AutoModel.from_pretrained(folder, **options)
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "transformers", "build") from None
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ToolError(f"{folder} is not a language model that transformers can load: {reason}") from None
    tokenizer.padding_side = "right"  # the first token must be column 0
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model.eval().requires_grad_(False)


@contextmanager
def _silence() -> Iterator[None]:
    """No bars and no log lines of other packages; what matters is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
