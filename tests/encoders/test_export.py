"""Export: another process loads the folder through AutoModel and computes the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from acula_edge.contract import AudioContract
from acula_edge.encoders.export import CARD, export_encoder
from acula_edge.encoders.openwakeword import load_openwakeword
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import empty, pretrained
from acula_edge.encoders.teacher_model import TeacherModel
from acula_edge.encoders.transformers_audio import from_description
from acula_edge.errors import ArtifactError, ExistsError
from acula_edge.progress import silenced
from tests.recordings import clips

CONTRACT = AudioContract()
PROVENANCE = {"teacher": "0123abcd", "variant": "aligned"}
LOAD = """
import numpy, torch, transformers
import acula_edge.encoders.export
for name, wave in numpy.load("waves.npz").items():
    model = transformers.AutoModel.from_pretrained(f"exports/{name}").eval()
    with torch.no_grad():
        output = model(torch.from_numpy(wave))
    numpy.savez(f"{name}.npz", frames=output.last_hidden_state, embedding=output.pooler_output)
"""


def teacher(encoder: AudioEncoder) -> TeacherModel:
    probe = np.zeros((1, encoder.dim), np.float32)
    return TeacherModel(encoder.eval(), CONTRACT, probe, np.zeros(1, np.float32))


def _clap(folder: Path) -> AudioEncoder:
    audio = {"hidden_size": 64, "patch_embeds_hidden_size": 8, "depths": [1] * 4}
    audio["num_attention_heads"] = [1, 1, 2, 2]
    text = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with silenced():
        config = transformers.ClapConfig(text_config=text, audio_config=audio)
        transformers.ClapModel(config).save_pretrained(folder)
        transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return pretrained(str(folder), CONTRACT, seed=0)


def _encoders(root: Path) -> dict[str, AudioEncoder]:
    """By the name that they go by: the last one is a folder, which is taken away."""
    encoders = {name: pretrained(name, CONTRACT, seed=0) for name in ("openwakeword", "small")}
    encoders["whisper-base"] = empty("whisper-base", CONTRACT)
    encoders[str(root / "model")] = _clap(root / "model")
    (root / "model").rename(root / "gone")
    return encoders


def _change(encoder: AudioEncoder) -> None:
    """As alignment leaves it: no longer the published weights."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in encoder.parameters():
            value.add_(1e-3 * torch.randn(value.shape, generator=generator))


@pytest.mark.usefixtures("weights_home")
def test_another_process_computes_the_same_bits(tmp_path: Path) -> None:
    encoders = _encoders(tmp_path)
    waves = {}
    for name, encoder in encoders.items():
        _change(encoder)
        folder = tmp_path / "exports" / Path(name).name
        export_encoder(teacher(encoder), name, folder, PROVENANCE)
        wave = np.resize(clips()[:2], (2, 3 * encoder.contract.sample_rate_hz))
        waves[folder.name] = wave.astype(np.float32) / 32768
    np.savez(tmp_path / "waves.npz", **waves)
    subprocess.run([sys.executable, "-c", LOAD], check=True, cwd=tmp_path)
    for name, encoder in encoders.items():
        with np.load(tmp_path / f"{Path(name).name}.npz") as found, torch.no_grad():
            frames = encoder.frames(torch.from_numpy(waves[Path(name).name]))
            np.testing.assert_array_equal(found["frames"], frames.numpy())
            np.testing.assert_array_equal(found["embedding"], encoder.pool(frames).numpy())


def test_a_network_that_is_no_audio_model_is_refused() -> None:
    described = {"config": {"model_type": "wav2vec2"}, "extractor": {"feature_extractor_type": "BertModel"}}
    with pytest.raises(ArtifactError, match="BertModel is no feature extractor"):
        from_description(described)


def test_what_is_written(tmp_path: Path) -> None:
    export_encoder(teacher(pretrained("small", CONTRACT, seed=0)), "small", tmp_path / "out", PROVENANCE)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"config.json", "model.safetensors", CARD}
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "acula-edge-encoder"
    assert config["encoder"] == "small"
    assert config["provenance"] == PROVENANCE
    assert AudioContract.of(config["contract"]) == CONTRACT
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert "Not a medical device" in card
    assert "| teacher | 0123abcd |" in card
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_is_overwritten_without_force(tmp_path: Path, weights_home: Path) -> None:
    out = tmp_path / "out"
    export_encoder(teacher(pretrained("small", CONTRACT, seed=0)), "small", out, PROVENANCE)
    before = (out / "model.safetensors").read_bytes()
    other = teacher(load_openwakeword(weights_home / "openwakeword"))
    assert "| licence of its first weights | its own |" in (out / CARD).read_text(encoding="utf-8")
    with pytest.raises(ExistsError, match="out exists already"):
        export_encoder(other, "openwakeword", out, PROVENANCE)
    assert (out / "model.safetensors").read_bytes() == before
    export_encoder(other, "openwakeword", out, PROVENANCE, force=True)
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["encoder"] == "openwakeword"
    assert "| licence of its first weights | Apache-2.0 |" in (out / CARD).read_text(encoding="utf-8")


def test_force_replaces_an_export_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ExistsError, match="holds something else"):
        export_encoder(
            teacher(pretrained("small", CONTRACT, seed=0)), "small", tmp_path, PROVENANCE, force=True
        )
    assert (tmp_path / "notes.txt").is_file()


def test_an_interrupted_export_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    model = teacher(pretrained("small", CONTRACT, seed=0))
    export_encoder(model, "small", out, PROVENANCE)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("acula_edge.encoders.export._card", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_encoder(model, "small", out, {}, force=True)
    assert "0123abcd" in (out / CARD).read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
