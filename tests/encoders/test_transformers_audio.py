"""Audio models of transformers behind our protocol, against the models' own forward pass on real clips."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_float32
from acula_edge.encoders import transformers_audio
from acula_edge.encoders.registry import empty, pretrained
from acula_edge.errors import ArtifactError, ToolError, UsageError
from acula_edge.progress import silenced
from tests.recordings import RATE_HZ, some_clips

CONTRACT = AudioContract()
MAX_ERROR = 1e-5


def _ast(folder: Path) -> None:
    config = transformers.ASTConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, max_length=512
    )
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    with silenced():
        transformers.ASTFeatureExtractor(max_length=512).save_pretrained(folder)


def _clap(folder: Path, *, fusion: bool = False) -> None:
    audio = transformers.ClapAudioConfig(
        hidden_size=64,
        patch_embeds_hidden_size=8,
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        enable_fusion=fusion,
        fusion_type="aff_2d" if fusion else None,
    )
    text = transformers.ClapTextConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config = transformers.ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict())
    transformers.ClapModel(config).save_pretrained(folder)
    extractor = transformers.ClapFeatureExtractor(truncation="fusion" if fusion else "rand_trunc")
    extractor.save_pretrained(folder)


def _wav2vec2(folder: Path) -> None:
    config = transformers.Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def _whisper(folder: Path) -> None:
    config = transformers.WhisperConfig(
        vocab_size=60,
        d_model=32,
        encoder_layers=3,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
        begin_suppress_tokens=None,
    )
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "ast": _ast,
    "clap": _clap,
    "wav2vec2": _wav2vec2,
    "whisper": _whisper,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small model folder of each family, with random weights, as transformers saves it."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, build in BUILDERS.items():
        with silenced():
            build(root / name)
    return {name: root / name for name in BUILDERS}


def heard(rate_hz: int, seconds: float = 8.0) -> NDArray[np.float32]:
    """Two real clips."""
    waves = np.stack([resample(to_float32(clip), RATE_HZ, rate_hz) for clip in some_clips(2)])
    return np.resize(waves, (2, waves.shape[1]))[:, : int(seconds * rate_hz)]


def _expected(folder: Path, name: str, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean last hidden state that transformers itself gives for a batch."""
    with silenced():
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
        model = transformers.AutoModel.from_pretrained(folder).eval()
        inputs = extractor(list(waveform), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    with torch.no_grad():
        if name == "clap":
            return model.audio_model(**inputs).pooler_output.numpy()
        if name == "whisper":
            model = model.encoder
        hidden = model(inputs[extractor.model_input_names[0]]).last_hidden_state
    return (hidden[:, 2:] if name == "ast" else hidden).mean(1).numpy()


@pytest.mark.parametrize("name", BUILDERS)
def test_embeddings_equal_the_models_own(folders: dict[str, Path], name: str) -> None:
    encoder = pretrained(str(folders[name]), CONTRACT, seed=0)
    waveform = heard(encoder.contract.sample_rate_hz, 5.0)
    with torch.no_grad():
        embedding = encoder.embed(torch.from_numpy(waveform)).numpy()
    expected = _expected(folders[name], name, waveform)
    assert embedding.shape == (2, encoder.dim) == expected.shape
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    assert np.abs(embedding - expected).max() < MAX_ERROR


def test_frames_of_ast_are_in_the_order_of_time(folders: dict[str, Path]) -> None:
    """A patch embedding alone, without positions or layers, sees a click where it is."""
    encoder = pretrained(str(folders["ast"]), CONTRACT, seed=0)
    waveform = torch.zeros(1, 16000 * 5)
    waveform[0, 16000 * 3 : 16000 * 3 + 400] = 0.5
    quiet = torch.zeros_like(waveform)
    network = encoder.network
    with torch.no_grad():
        parts = [network.embeddings.patch_embeddings(encoder.trunk(audio)) for audio in (waveform, quiet)]
        change = torch.nn.functional.pad(parts[0] - parts[1], (0, 0, 2, 0))
        frames = encoder.family.frames(change, network.config)
    assert frames.abs().amax(2)[0].argmax() * 0.1 == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_reach_every_weight_and_a_frozen_trunk_keeps_the_early_ones(
    folders: dict[str, Path], name: str
) -> None:
    encoder = pretrained(str(folders[name]), CONTRACT, seed=0)
    waveform = torch.from_numpy(heard(encoder.contract.sample_rate_hz, 3.0))
    frames = encoder.frames(waveform)
    loss = encoder.pool(frames).square().sum() + encoder.ssl_loss(*encoder.ssl_views(None, frames))
    loss.backward()
    silent = {
        name for name, value in encoder.named_parameters() if value.requires_grad and value.grad is None
    }
    assert all(name.endswith("masked_spec_embed") for name in silent), silent
    encoder.freeze_trunk()
    frozen = [name for name, value in encoder.named_parameters() if not value.requires_grad]
    trained = [name for name, value in encoder.network.named_parameters() if value.requires_grad]
    assert frozen
    assert trained
    assert not any(".layers.2." in name for name in frozen)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_empty_encoder_takes_the_saved_weights(folders: dict[str, Path], name: str) -> None:
    encoder = pretrained(str(folders[name]), CONTRACT, seed=0)
    rebuilt = empty(str(folders[name]), CONTRACT)
    assert rebuilt.contract == encoder.contract
    rebuilt.load_state_dict(encoder.state_dict())
    waveform = torch.from_numpy(heard(encoder.contract.sample_rate_hz, 1.0))
    with torch.no_grad():
        assert torch.equal(rebuilt.embed(waveform), encoder.embed(waveform))


@pytest.mark.parametrize("fusion", [False, True])
def test_clap_hears_the_start_of_a_long_clip_and_draws_nothing(tmp_path: Path, fusion: bool) -> None:
    with silenced():
        _clap(tmp_path, fusion=fusion)
    encoder = pretrained(str(tmp_path), CONTRACT, seed=0)
    long = torch.from_numpy(np.tile(heard(48000), (1, 2)))
    with torch.no_grad():
        first, second = encoder.embed(long), encoder.embed(long[:, :480000])
    assert torch.equal(first, second)


def test_nothing_is_masked_or_skipped_in_training(folders: dict[str, Path]) -> None:
    network = pretrained(str(folders["wav2vec2"]), CONTRACT, seed=0).network
    assert network.config.apply_spec_augment is False
    assert network.config.layerdrop == 0.0


def test_published_architectures() -> None:
    """Parameters of the published encoders: AST base 86.2 M without its head, CLAP's HTS-AT 27.5 M."""
    ast, clap = empty("ast", CONTRACT), empty("clap", CONTRACT)
    sizes = [sum(value.numel() for value in encoder.network.parameters()) for encoder in (ast, clap)]
    assert [round(size / 1e6, 1) for size in sizes] == [86.2, 27.5]
    assert (ast.contract.sample_rate_hz, ast.contract.clip_seconds, ast.dim) == (16000, 10.24, 768)
    assert (clap.contract.sample_rate_hz, clap.contract.clip_seconds, clap.dim) == (48000, 10.0, 768)


@pytest.mark.parametrize("name", ["ast", "clap", "audiomae"])
def test_weights_that_are_not_here_name_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACULA_EDGE_HOME", str(tmp_path))
    with pytest.raises(ToolError, match=f"weights {name} are not here; run: acula-edge models add {name}"):
        pretrained(name, CONTRACT, seed=0)


def test_weights_of_another_size_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ArtifactError, match="ast holds no whole audio model"):
        transformers_audio.load_ast(folders["ast"])


def test_a_missing_weight_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["wav2vec2"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layers.1.attention.k_proj.weight"))
    save_file({key: value for key, value in tensors.items() if key != name}, tmp_path / "model.safetensors")
    with pytest.raises(
        ArtifactError, match=r"weights lack .*layers\.1\.attention\.k_proj\.weight and 0 more"
    ):
        pretrained(str(tmp_path), CONTRACT, seed=0)


def test_a_text_model_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with silenced():
        transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ArtifactError, match=r"holds no whole audio model.*preprocessor_config\.json"):
        pretrained(str(tmp_path), CONTRACT, seed=0)


def test_an_image_model_is_refused(tmp_path: Path) -> None:
    with silenced():
        transformers.ViTConfig(hidden_size=16, num_hidden_layers=1).save_pretrained(tmp_path)
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ArtifactError, match="holds no whole audio model"):
        empty(str(tmp_path), CONTRACT)


def test_pickled_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folders["wav2vec2"] / name).read_bytes())
    torch.save(load_file(folders["wav2vec2"] / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match="holds no whole audio model"):
        pretrained(str(tmp_path), CONTRACT, seed=0)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"nowhere is not known; choose one of: .*ast, clap, audiomae"):
        empty("nowhere", CONTRACT)
