"""Export of an encoder as a folder that transformers.AutoModel loads once this module is imported.

import acula_edge.encoders.export
model = transformers.AutoModel.from_pretrained("folder")
embedding = model(waveform).pooler_output  # (B, samples) at model.config.sample_rate_hz -> (B, dim)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from acula_edge import weights
from acula_edge.contract import AudioContract
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import ENCODERS, empty
from acula_edge.encoders.teacher_model import TeacherModel
from acula_edge.encoders.transformers_audio import (
    TransformersAudioEncoder,
    description,
    from_description,
)
from acula_edge.errors import ExistsError
from acula_edge.progress import silenced

CARD = "README.md"
MODEL_TYPE = "acula-edge-encoder"
_CARD_TEXT = """---
library_name: transformers
tags: [audio, auscultation, feature-extraction]
---
# Audio encoder `{name}`, aligned with clinical text by acula-edge

**Research software. Not a medical device: it has no clearance for any clinical use, and nothing that it
says may decide on a patient's care.**

It turns a mono recording at {rate_hz} Hz, float32 in [-1, 1], into one embedding of {dim} numbers.

```python
import torch, transformers
import acula_edge.encoders.export  # registers the model class

model = transformers.AutoModel.from_pretrained("this folder").eval()
with torch.no_grad():
    embedding = model(torch.zeros(1, {samples})).pooler_output
```

It heard training audio with what a device of this contract hears: {device_rate_hz} Hz, clips of
{clip_seconds:g} s. Embed clips one at a time and average them for a longer recording.

| what | value |
|---|---|
| encoder | {name} |
| features | {features} |
| parameters | {parameters} |
| licence of its first weights | {licence} |
{provenance}
"""


class AculaEdgeConfig(PreTrainedConfig):  # type: ignore[misc]
    """What rebuilds the encoder: its name in acula-edge, the device's contract, or its network described."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        encoder: str = "small",
        contract: dict[str, Any] | None = None,
        embedding_dim: int = 0,
        sample_rate_hz: int = 0,
        provenance: Mapping[str, str] = MappingProxyType({}),
        network: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """`network` is None for a named encoder, else `transformers_audio.description` of it."""
        self.encoder = encoder
        self.contract = contract
        self.embedding_dim = embedding_dim
        self.sample_rate_hz = sample_rate_hz
        self.provenance = dict(provenance)
        self.network = network
        super().__init__(**others)


class AculaEdgeModel(PreTrainedModel):  # type: ignore[misc]
    """The encoder behind transformers' interface."""

    config_class = AculaEdgeConfig
    main_input_name = "input_values"

    def __init__(self, config: AculaEdgeConfig) -> None:
        super().__init__(config)
        with torch.device("cpu"):  # transformers builds on the meta device, ours compute as they are built
            self.encoder: AudioEncoder = _rebuilt(config)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As transformers', with the constants that are not saved, which it leaves undefined.

        The memory layout is the one that the encoder had, so that its embeddings keep every bit.
        """
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        saved = model.encoder.state_dict()
        for name, constant in _rebuilt(model.config).named_buffers():
            if name not in saved:
                model.encoder.get_buffer(name).copy_(constant)
        model.to(memory_format=torch.channels_last)
        return loaded

    def forward(self, input_values: Tensor) -> BaseModelOutputWithPooling:
        """(B, samples) float32 in [-1, 1] -> frames (B, T, C) and embeddings (B, dim)."""
        frames = self.encoder.frames(input_values)
        return BaseModelOutputWithPooling(last_hidden_state=frames, pooler_output=self.encoder.pool(frames))

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: the encoder's own constructor did it."""


def register() -> None:
    """Make AutoConfig and AutoModel know the class; done when this module is imported."""
    AutoConfig.register(MODEL_TYPE, AculaEdgeConfig, exist_ok=True)
    AutoModel.register(AculaEdgeConfig, AculaEdgeModel, exist_ok=True)


def export_encoder(
    model: TeacherModel, name: str, folder: Path, provenance: Mapping[str, str], *, force: bool = False
) -> None:
    """Write the encoder of `model`, known as `name`, and its model card into `folder`, whole or not at all.

    `provenance` says where it comes from, such as the digest of its artifact. Raises ExistsError if `folder`
    exists, and with `force` if it holds anything but an earlier export.
    """
    if folder.exists() and not (force and _is_export(folder)):
        raise ExistsError(
            f"{folder} holds something else; choose another --out"
            if force
            else f"{folder} exists already; choose another --out or give --force"
        )
    config = _config(model, name, provenance)
    exported = AculaEdgeModel(config)
    exported.encoder.load_state_dict(model.encoder.state_dict())
    exported.to(memory_format=torch.contiguous_format)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)  # of an earlier, killed run
    try:
        with silenced():
            exported.save_pretrained(aside)
        (aside / CARD).write_text(_card(model, config), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _config(model: TeacherModel, name: str, provenance: Mapping[str, str]) -> AculaEdgeConfig:
    encoder = model.encoder
    network = None
    if name not in ENCODERS and isinstance(encoder, TransformersAudioEncoder):
        network = description(encoder)
    return AculaEdgeConfig(
        encoder=Path(name).name,
        contract=model.contract.model_dump(mode="json"),
        embedding_dim=encoder.dim,
        sample_rate_hz=encoder.input_rate_hz,
        provenance=provenance,
        network=network,
    )


def _rebuilt(config: AculaEdgeConfig) -> AudioEncoder:
    if config.network is not None:
        return from_description(config.network)
    return empty(config.encoder, AudioContract.of(config.contract))


def _is_export(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def _card(model: TeacherModel, config: AculaEdgeConfig) -> str:
    source = ENCODERS[config.encoder].weights if config.network is None else None
    contract = model.contract
    return _CARD_TEXT.format(
        name=config.encoder,
        rate_hz=config.sample_rate_hz,
        dim=config.embedding_dim,
        samples=8 * config.sample_rate_hz,
        device_rate_hz=contract.sample_rate_hz,
        clip_seconds=contract.clip_samples / contract.sample_rate_hz,
        features=model.encoder.contract.features,
        parameters=sum(value.numel() for value in model.encoder.parameters()),
        licence=weights.WEIGHTS[source].licence if source else "its own",
        provenance="\n".join(f"| {key} | {value} |" for key, value in config.provenance.items()),
    )


register()
