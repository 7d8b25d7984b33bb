"""Texts: what the frozen language model makes of the reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge import weights
from acula_edge.data.recording import Recording, Split
from acula_edge.data.reports import clinical_facts
from acula_edge.language.cache import embed_cached
from acula_edge.language.registry import load
from acula_edge.language.rewriter import reasons, rewrite_reports
from acula_edge.language.whiten import centring
from acula_edge.progress import say
from acula_edge.teacher.config import TeacherConfig

Wordings = tuple[tuple[str, ...], ...]


def wordings_of(recordings: Sequence[Recording], surface_forms: int) -> Wordings:
    """As many wordings of each recording's report, the same one again where there are fewer.

    They are empty texts where nothing is known that could be reported.
    """
    return tuple(_wordings(recording.reports, surface_forms) for recording in recordings)


def rewritten(
    recordings: Sequence[Recording], wordings: Wordings, model: str
) -> tuple[Wordings, dict[str, int]]:
    """The plain wordings told by a language model, and how many were accepted or refused, and why.

    A refused text leaves the plain report in its place.
    """
    rows = [row for row, forms in enumerate(wordings) if forms[0]]
    told = [
        (wordings[row][0], clinical_facts(recordings[row].dataset, recordings[row].metadata)) for row in rows
    ]
    results = rewrite_reports(told, model, weights.home() / "rewritten")
    fresh = dict(zip(rows, results, strict=True))
    changed = ((fresh[row].text, *forms[1:]) if row in fresh else forms for row, forms in enumerate(wordings))
    return tuple(changed), reasons(results)


def _wordings(reports: tuple[str, ...], surface_forms: int) -> tuple[str, ...]:
    known = reports or ("",)
    return tuple(known[form % len(known)] for form in range(surface_forms))


def embed_reports(
    config: TeacherConfig, recordings: Sequence[Recording], wordings: Wordings
) -> NDArray[np.float32]:
    """Report embeddings (n, forms, q), centred on the reports of the training patients.

    A recording without a report has zeros.
    """
    told = np.array([bool(forms[0]) for forms in wordings])
    train = told & np.array([recording.split is Split.TRAIN for recording in recordings])
    texts = [text for forms in wordings if forms[0] for text in forms]
    say(f"Reports: {len(set(texts))} different texts through {config.language}")
    model = load(config.language, config.language_layer, config.language_pooling)
    known = embed_cached(model, texts, weights.home() / "embeddings").reshape(
        -1, config.surface_forms, model.dim
    )
    centre = centring(known[train[told]].reshape(-1, model.dim))
    embeddings = np.zeros((len(recordings), config.surface_forms, model.dim), dtype=np.float32)
    embeddings[told] = centre(known.reshape(-1, model.dim)).reshape(known.shape)
    return embeddings
