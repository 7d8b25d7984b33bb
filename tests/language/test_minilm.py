"""MiniLM, the real weights, against BERT written out in numpy."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from acula_edge.errors import DataError
from acula_edge.language.protocol import TextEncoder
from acula_edge.language.registry import load
from tests.language.bert import NumpyBert

REPORTS = (
    "Crackles.",
    "Adult woman, 62 years old. Coarse crackles are heard over the left lower lobe.",
    "Child of 4 years; heart sounds at the mitral area. A harsh holosystolic murmur, grade III, is present.",
    "Man, 45. Normal vesicular breathing on both sides, no wheezes and no crackles; chest wall at the back, "
    "right, recorded with a diaphragm at rest and after a deep breath. He does not smoke and has no fever.",
)


@pytest.fixture(scope="module")
def minilm(weights_home: Path) -> TextEncoder:
    assert (weights_home / "minilm").is_dir()
    return load("minilm")


@pytest.fixture(scope="module")
def reference(weights_home: Path) -> NumpyBert:
    return NumpyBert(weights_home / "minilm")


def test_a_padded_batch_equals_each_text_alone_in_numpy(minilm: TextEncoder, reference: NumpyBert) -> None:
    ours = minilm.embed(REPORTS)
    assert ours.shape == (4, 384)
    assert ours.dtype == np.float32
    assert minilm.dim == 384
    lengths = [len(reference.token_ids(text.lower())) for text in REPORTS]
    assert max(lengths) > 10 * min(lengths)  # so that there is padding
    theirs = [reference.embed(reference.token_ids(text.lower())) for text in REPORTS]
    np.testing.assert_allclose(ours, np.stack(theirs), atol=1e-5)


def test_neighbours_in_a_batch_do_not_matter(minilm: TextEncoder) -> None:
    alone = np.concatenate([minilm.embed([text]) for text in REPORTS])
    np.testing.assert_allclose(minilm.embed(REPORTS), alone, atol=1e-5)
    np.testing.assert_allclose(minilm.embed(REPORTS[::-1]), alone[::-1], atol=1e-5)


def test_a_long_text_is_cut_at_128_tokens(minilm: TextEncoder, reference: NumpyBert) -> None:
    text = " ".join(f"lung {number}" for number in range(200))
    ids = reference.token_ids(text)
    cut = [*ids[:127], ids[-1]]  # the last token is the separator
    np.testing.assert_allclose(minilm.embed([text])[0], reference.embed(cut), atol=1e-5)


def test_related_reports_are_closer_than_unrelated_ones(minilm: TextEncoder) -> None:
    texts = (
        "wheezes are heard in both lungs",
        "bilateral wheezing during breathing out",
        "a systolic murmur at the apex of the heart",
        "the murmur is loudest over the mitral valve",
    )
    unit = minilm.embed(texts)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T
    across = cosine[:2, 2:].max()
    assert cosine[0, 1] > across + 0.1
    assert cosine[2, 3] > across + 0.1


def test_case_and_outer_space_do_not_matter(minilm: TextEncoder) -> None:
    assert np.array_equal(minilm.embed(["  Coarse CRACKLES\n"]), minilm.embed(["coarse crackles"]))


def test_the_same_text_gives_the_same_bytes(minilm: TextEncoder) -> None:
    assert minilm.embed(REPORTS).tobytes() == load("minilm").embed(REPORTS).tobytes()


def test_an_empty_text_is_refused_with_its_place(minilm: TextEncoder) -> None:
    with pytest.raises(DataError, match="text 2 of 3 is empty"):
        minilm.embed(["crackles", "  ", ""])


def test_no_text_gives_no_rows(minilm: TextEncoder) -> None:
    assert minilm.embed([]).shape == (0, 384)


@pytest.mark.usefixtures("weights_home")
def test_loading_never_touches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert load("minilm").dim == 384


@pytest.mark.usefixtures("weights_home")
def test_loading_prints_nothing_and_imports_lazily() -> None:
    script = (
        "import sys; from acula_edge.language import cache, registry, whiten; "
        "assert 'torch' not in sys.modules; "
        "assert registry.load('minilm').embed(['a murmur']).shape == (1, 384)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_cls_is_the_first_token_of_any_layer(minilm: TextEncoder, weights_home: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = weights_home / "minilm"
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer([text.lower() for text in REPORTS], padding=True, return_tensors="pt")
    states = model(**batch, output_hidden_states=True).hidden_states
    assert len(states) == 7
    for layer in (2, -1):
        ours = load("minilm", layer=layer, pooling="cls").embed(REPORTS)
        np.testing.assert_allclose(ours, states[layer][:, 0].detach().numpy(), atol=1e-5)
    assert load("minilm", layer=6).fingerprint == minilm.fingerprint
