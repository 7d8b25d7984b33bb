"""Embeddings of reports on disk, so that a text goes through the language model once.

The unique texts are sorted and cut into chunks; each chunk is one file named by the hash of its texts,
put there by a rename. A killed run continues at the first missing chunk. A chunk always passes through
the model whole: the last bits of an embedding depend on the texts beside it in a batch, and so they
are the same after any interruption.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.language.protocol import TextEncoder
from acula_edge.progress import track

CHUNK_TEXTS = 64


def embed_cached(encoder: TextEncoder, texts: Sequence[str], folder: Path) -> NDArray[np.float32]:
    """`encoder.embed(texts)`, float32 (n, dim), through the cache in `folder`.

    Files lie in a folder per encoder name and fingerprint, so that other weights never mix.
    """
    place = folder / f"{encoder.name}-{encoder.fingerprint[:16]}"
    place.mkdir(parents=True, exist_ok=True)
    unique = sorted(set(texts))
    chunks = [unique[start : start + CHUNK_TEXTS] for start in range(0, len(unique), CHUNK_TEXTS)]
    parts = [_chunk(encoder, chunk, place) for chunk in track(chunks, len(chunks), "reports")]
    table = np.concatenate(parts) if parts else np.empty((0, encoder.dim), dtype=np.float32)
    row = {text: index for index, text in enumerate(unique)}
    return np.asarray(table[[row[text] for text in texts]], dtype=np.float32)


def _chunk(encoder: TextEncoder, texts: list[str], place: Path) -> NDArray[np.float32]:
    path = place / f"{hashlib.sha256(json.dumps(texts).encode()).hexdigest()}.npy"
    kept = _read(path)
    if kept is not None and kept.shape == (len(texts), encoder.dim):
        return kept
    fresh = encoder.embed(texts)
    scratch = path.with_suffix(f".{os.getpid()}.writing")
    with scratch.open("wb") as file:
        np.save(file, fresh)
    scratch.replace(path)
    return fresh


def _read(path: Path) -> NDArray[np.float32] | None:
    """The file's array, or None if it is absent or damaged."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.dtype == np.float32 else None
