"""Model folders of other families: causal models, GGUF, and folders that are no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from acula_edge import weights
from acula_edge.errors import ToolError, UsageError
from acula_edge.language.registry import load
from acula_edge.language.transformers_encoder import TransformersEncoder
from acula_edge.language.whiten import centring

WORDS = ["[PAD]", "[UNK]", "a", "heart", "lung", "murmur", "wheeze", "crackle", "is", "heard"]
WORDS += ["over", "the", "left", "right", "base"]
TEXTS = ("murmur", "a wheeze is heard", "a crackle is heard over the left lung base", "the right heart")


def _llama(folder: Path) -> None:
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def _gemma(folder: Path) -> None:
    text = {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=5)
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)


def _save(folder: Path, make: Callable[[Path], None]) -> Path:
    torch.manual_seed(0)
    make(folder)
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", padding_side="left"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("llama"), _llama)


def _alone(folder: Path, text: str, drop: bool) -> np.ndarray:
    """The mean over a text's tokens, from the last of all hidden states of the generating model."""
    ids = torch.tensor([[WORDS.index(word) for word in text.split()]])
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    hidden = model(ids, output_hidden_states=True).hidden_states[-1][0].detach().numpy()
    return np.asarray((hidden[1:] if drop and len(hidden) > 1 else hidden).mean(axis=0))


@pytest.mark.parametrize("drop", [False, True])
def test_a_causal_model_counts_real_tokens_alone(llama: Path, drop: bool) -> None:
    encoder = TransformersEncoder("tiny", llama, "0", drop_first_token=drop, batch_size=3)
    expected = np.stack([_alone(llama, text, drop) for text in TEXTS])
    np.testing.assert_allclose(encoder.embed(TEXTS), expected, atol=1e-5)


def test_a_folder_of_a_causal_model_drops_the_first_token(llama: Path) -> None:
    expected = np.stack([_alone(llama, text, drop=True) for text in TEXTS])
    np.testing.assert_allclose(load(str(llama)).embed(TEXTS), expected, atol=1e-5)


def test_settings_and_weights_change_the_fingerprint(llama: Path, tmp_path: Path) -> None:
    plain = TransformersEncoder("tiny", llama, "0")
    dropping = TransformersEncoder("tiny", llama, "0", drop_first_token=True)
    other = TransformersEncoder("tiny", llama, "1")
    assert len({plain.fingerprint, dropping.fingerprint, other.fingerprint}) == 3
    assert load(str(llama)).fingerprint != load(str(_save(tmp_path / "gemma", _gemma))).fingerprint


def test_the_medgemma_family_loads_without_its_images(tmp_path: Path) -> None:
    encoder = load(str(_save(tmp_path / "gemma", _gemma)))
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
