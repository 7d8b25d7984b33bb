"""Model folders of other families: causal models, GGUF, and folders that are no model."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from acula_edge import weights
from acula_edge.errors import ToolError, UsageError
from acula_edge.language.loading import Source, device, load_model, precision
from acula_edge.language.registry import LANGUAGE_MODELS, find, load
from acula_edge.language.transformers_encoder import TransformersEncoder
from acula_edge.language.whiten import centring
from tests.language.models import WORDS, gemma, save
from tests.language.models import llama as make_llama

TEXTS = ("murmur", "a wheeze is heard", "a crackle is heard over the left lung base", "the right heart")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("llama"), make_llama)


def _alone(folder: Path, text: str, drop: bool) -> np.ndarray:
    """The mean over a text's tokens, from the last of all hidden states of the generating model."""
    ids = torch.tensor([[WORDS.index(word) for word in text.split()]])
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    hidden = model(ids, output_hidden_states=True).hidden_states[-1][0].detach().numpy()
    return np.asarray((hidden[1:] if drop and len(hidden) > 1 else hidden).mean(axis=0))


@pytest.mark.parametrize("drop", [False, True])
def test_a_causal_model_counts_real_tokens_alone(llama: Path, drop: bool) -> None:
    encoder = TransformersEncoder("tiny", Source(llama, "0"), causal=drop, batch_size=3)
    expected = np.stack([_alone(llama, text, drop) for text in TEXTS])
    np.testing.assert_allclose(encoder.embed(TEXTS), expected, atol=1e-5)


def test_a_folder_of_a_causal_model_drops_the_first_token(llama: Path) -> None:
    expected = np.stack([_alone(llama, text, drop=True) for text in TEXTS])
    np.testing.assert_allclose(load(str(llama)).embed(TEXTS), expected, atol=1e-5)


def test_settings_and_weights_change_the_fingerprint(llama: Path, tmp_path: Path) -> None:
    source = Source(llama, "0")
    encoders = [
        TransformersEncoder("tiny", source),
        TransformersEncoder("tiny", source, causal=True),
        TransformersEncoder("tiny", source, layer=1),
        TransformersEncoder("tiny", source, pooling="last"),
        TransformersEncoder("tiny", source, batch_size=8),
        TransformersEncoder("tiny", Source(llama, "1")),
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == len(encoders)
    assert TransformersEncoder("tiny", source, layer=2).fingerprint == encoders[0].fingerprint
    assert load(str(llama)).fingerprint != load(str(save(tmp_path / "gemma", gemma))).fingerprint


@pytest.mark.parametrize("layer", [-3, -2, -1, 0, 1, 2])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_layers_and_poolings_are_the_generating_models_own(llama: Path, layer: int, pooling: str) -> None:
    model = LlamaForCausalLM.from_pretrained(llama).eval()
    expected = []
    for text in TEXTS:
        ids = torch.tensor([[WORDS.index(word) for word in text.split()]])
        hidden = model(ids, output_hidden_states=True).hidden_states[layer][0].detach().numpy()
        own = hidden[1:] if len(hidden) > 1 else hidden
        expected.append({"mean": own.mean(axis=0), "last": hidden[-1]}[pooling])
    encoder = load(str(llama), layer=layer, pooling=pooling)
    np.testing.assert_allclose(encoder.embed(TEXTS), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("layer", [-4, 3])
def test_a_layer_that_is_not_there_is_refused_by_name(llama: Path, layer: int) -> None:
    with pytest.raises(UsageError, match=rf"has no layer {layer}; choose 0 \(token embedding\) to 2, or -3"):
        load(str(llama), layer=layer)


def test_a_pooling_that_is_not_there_is_refused(llama: Path) -> None:
    with pytest.raises(UsageError, match="there is no pooling max; choose one of mean, last, cls"):
        load(str(llama), pooling="max")
    with pytest.raises(UsageError, match="is a causal model, whose first token has seen nothing"):
        load(str(llama), pooling="cls")


def test_eight_bit_asks_for_bitsandbytes(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        ToolError, match=r"bitsandbytes is not installed; run: pip install 'acula-edge\[gpu\]'"
    ):
        load(str(llama), eight_bit=True)


def test_a_gpu_reads_bfloat16_and_a_processor_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, ("cuda", "bfloat16")), (False, ("cpu", "float32"))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert (device(), precision()) == expected


def test_half_precision_weights_are_widened_on_a_processor(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path / "half")
    LlamaForCausalLM.from_pretrained(llama, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    if device() == "cpu":
        _, model = load_model(Source(tmp_path / "half", "0"), "AutoModel")
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_gguf_files_are_found_in_a_folder_and_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    found = find(str(tmp_path))
    assert (found.source.gguf_file, found.causal) == ("a.gguf", True)
    with pytest.raises(ToolError, match="is quantised already"):
        load(str(tmp_path), eight_bit=True)
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(UsageError, match=r"several GGUF files, a\.gguf, b\.gguf"):
        find(str(tmp_path))


def test_the_medgemma_family_loads_without_its_images(tmp_path: Path) -> None:
    encoder = load(str(save(tmp_path / "gemma", gemma)))
    assert encoder.dim == 32
    batch = encoder.embed(TEXTS)
    np.testing.assert_allclose(batch, np.concatenate([encoder.embed([text]) for text in TEXTS]), atol=1e-5)
    assert np.linalg.matrix_rank(batch) == len(TEXTS)


def test_unknown_names_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(
        UsageError, match=r"no language model gpt-5; choose one of minilm, smollm2, medgemma-4b"
    ):
        load("gpt-5")


@pytest.mark.parametrize(
    "config", [{}, {"model_type": "no-such-model"}, {"model_type": "bert", "architectures": None}]
)
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, config: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ToolError, match="is not a language model that transformers can load"):
        load(str(tmp_path))


def test_every_model_is_in_the_table_of_weights() -> None:
    named = {name for name, row in weights.WEIGHTS.items() if row.kind is weights.WeightsKind.LANGUAGE}
    assert set(LANGUAGE_MODELS) == named


def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACULA_EDGE_HOME", str(tmp_path))
    with pytest.raises(ToolError, match="run: acula-edge models add smollm2"):
        load("smollm2")


@pytest.mark.skipif(
    not weights.installed("smollm2"), reason="93 MB more: acula-edge models add smollm2 runs this test too"
)
def test_smollm2_loads_from_its_gguf_file() -> None:
    encoder = load("smollm2")
    assert encoder.dim == 576
    texts = (
        "fine crackles are heard in the left lung",
        "coarse crackles are heard in the right lung",
        "a systolic murmur is heard at the mitral valve",
        "a diastolic murmur is heard at the aortic valve",
    )
    batch = encoder.embed(texts)
    np.testing.assert_allclose(batch, np.concatenate([encoder.embed([text]) for text in texts]), atol=1e-4)
    unit = centring(batch)(batch)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T
    assert min(cosine[0, 1], cosine[2, 3]) > cosine[:2, 2:].max()
