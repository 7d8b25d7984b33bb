"""Any audio model of transformers as a trainable encoder: AST, LAION-CLAP, or a model folder.

Each hears its own feature extractor's output, padded or cut as its authors do. An embedding is the
mean frame; the frames of a spectrogram transformer are its patches, averaged over frequency.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.cola import BilinearSimilarity, cola_loss, halves
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.errors import ArtifactError
from acula_edge.progress import silenced

# Parts of a model that only its own pre-training uses; published checkpoints may lack them.
_UNUSED = ("masked_spec_embed",)
# Augmentations inside a model that would make training clips differ from what was asked for.
_STILL = {"apply_spec_augment": False, "layerdrop": 0.0, "encoder_layerdrop": 0.0}


@dataclass(frozen=True)
class _Family:
    """How models of one type are read.

    `part` is the audio network within the model ("" is the whole), `time_axis` that of its input, `frames`
    turns its last hidden state into (B, T', C), `arguments` are what it wants besides its input, and
    `shaped` brings the input into its first form.
    """

    part: str = ""
    time_axis: int = 1
    frames: Callable[[Tensor, Any], Tensor] = lambda hidden, _config: hidden
    arguments: Callable[[Tensor], dict[str, Tensor]] = lambda _inputs: {}
    shaped: Callable[[Tensor, Any], Tensor] = lambda inputs, _config: inputs


def _ast_frames(hidden: Tensor, config: Any) -> Tensor:
    """Two tokens, then patches with time running fastest: (B, 2 + F T', C) -> (B, T', C)."""
    n_bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    return hidden[:, 2:].reshape(len(hidden), n_bands, -1, hidden.shape[2]).mean(1)


def _clap_frames(hidden: Tensor, _config: Any) -> Tensor:
    """(B, C, F, T') -> (B, T', C)."""
    return hidden.mean(2).transpose(1, 2)


def _never_longer(inputs: Tensor) -> dict[str, Tensor]:
    """CLAP's mark of clips that were cut at random: none, they are cut at their start before."""
    return {"is_longer": torch.zeros(len(inputs), 1, dtype=torch.bool, device=inputs.device)}


def _clap_stretched(inputs: Tensor, config: Any) -> Tensor:
    """(B, 1, frames, mels) -> (B, 1, spec_size^2 / mels, mels), as CLAP does behind its first layer.

    That layer normalises each mel, so that the order does not matter to its published statistics; and the
    cubic interpolation has no deterministic gradient on a GPU, which here nothing asks for.
    """
    size = (config.spec_size**2 // config.num_mel_bins, config.num_mel_bins)
    return F.interpolate(inputs, size, mode="bicubic", align_corners=True)


_FAMILIES = {
    "audio-spectrogram-transformer": _Family(frames=_ast_frames),
    "clap": _Family("audio_model", 2, _clap_frames, _never_longer, _clap_stretched),
    "clap_audio_model": _Family("", 2, _clap_frames, _never_longer, _clap_stretched),
    "whisper": _Family("encoder", time_axis=2),
}
# Seconds that an extractor pads or cuts to; others keep a clip's length.
_CLIP_SECONDS: dict[str, Callable[[Any], float]] = {
    "ASTFeatureExtractor": lambda extractor: extractor.max_length * 0.01,
    "ClapFeatureExtractor": lambda extractor: float(extractor.max_length_s),
    "WhisperFeatureExtractor": lambda extractor: float(extractor.chunk_length),
}


class TransformersAudioEncoder(AudioEncoder):
    """The audio network of a transformers model; COLA between halves as its self-supervised loss.

    `trunk` computes the features and has no weights; the network is `top`. A frozen trunk is the first two
    thirds of the network's layers and what stands before them.
    """

    pretrained = True
    caches_trunk = False

    def __init__(self, model: Any, extractor: Any) -> None:
        """`model` as AutoModel makes it, and its feature extractor."""
        super().__init__()
        self.family = _FAMILIES.get(model.config.model_type, _Family())
        self.network = model.get_submodule(self.family.part)
        self.extractor = extractor
        kind = type(extractor).__name__
        seconds = _CLIP_SECONDS[kind](extractor) if kind in _CLIP_SECONDS else None
        self.contract = EncoderContract(int(extractor.sampling_rate), seconds, _features(extractor))
        self.dim = int(self.network.config.hidden_size)
        self.similarity = BilinearSimilarity(self.dim)

    @torch.no_grad()
    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) -> (B, T, ...): what the extractor makes of the clips, cut at their start."""
        rate_hz, seconds = self.contract.sample_rate_hz, self.contract.clip_seconds
        samples = waveform.shape[1] if seconds is None else int(seconds * rate_hz)
        clips = list(waveform[:, :samples].cpu().numpy())
        features = self.extractor(clips, sampling_rate=rate_hz, return_tensors="pt")
        inputs: Tensor = features[self.extractor.model_input_names[0]]
        return inputs.to(waveform.device, torch.float32).movedim(self.family.time_axis, 1)

    def top(self, hidden: Tensor) -> Tensor:
        """(B, T, ...) features of whole clips -> (B, T', C) frames."""
        inputs = self.family.shaped(hidden.movedim(1, self.family.time_axis), self.network.config)
        output = self.network(inputs, **self.family.arguments(inputs)).last_hidden_state
        return self.family.frames(output, self.network.config)

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """The parameters that come before the last third of the layers."""
        return early_parameters(self.network)

    def pool(self, frames: Tensor) -> Tensor:
        """(B, T', C) -> (B, C): the mean frame."""
        return frames.mean(1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """The mean frame of each half of the clip: (B, C), (B, C)."""
        return halves(frames)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        """COLA between the two halves of each clip."""
        first, second = views
        return cola_loss(first, second, self.similarity)


def early_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Parameters, in their order, up to two thirds of the largest list of layers; none without a list."""
    lists = [part for part in network.modules() if isinstance(part, nn.ModuleList) and len(part) > 1]
    if not lists:
        return []
    layers = max(lists, key=lambda part: sum(value.numel() for value in part.parameters()))
    first_late = next(layers[2 * len(layers) // 3].parameters())
    ordered = list(network.parameters())
    stop = next(index for index, value in enumerate(ordered) if value is first_late)
    return ordered[:stop]


def empty_ast() -> TransformersAudioEncoder:
    """The architecture of MIT/ast-finetuned-audioset-10-10-0.4593, with random weights."""
    return _empty(*_ast())


def load_ast(folder: Path) -> TransformersAudioEncoder:
    """AST with the weights in `folder`. Raises ArtifactError if they do not fit it."""
    return _loaded(*_ast(), folder)


def empty_clap() -> TransformersAudioEncoder:
    """The audio tower of laion/clap-htsat-unfused, with random weights."""
    return _empty(*_clap())


def load_clap(folder: Path) -> TransformersAudioEncoder:
    """CLAP's audio tower with the weights in `folder`. Raises ArtifactError if they do not fit it."""
    return _loaded(*_clap(), folder)


def empty_folder(folder: Path) -> TransformersAudioEncoder:
    """The architecture of the audio model in `folder`, with random weights.

    Raises ArtifactError if it holds no audio model that transformers knows.
    """
    return _empty(*_described(folder))


def load_folder(folder: Path) -> TransformersAudioEncoder:
    """The audio model in `folder`: config.json, preprocessor_config.json and safetensors.

    Raises ArtifactError if it holds no audio model that transformers knows, or its weights do not fit.
    """
    return _loaded(*_described(folder), folder)


def description(encoder: TransformersAudioEncoder) -> dict[str, Any]:
    """What `from_description` needs: the network's config and the extractor's settings, as JSON values."""
    config, extractor = encoder.network.config, encoder.extractor
    return {
        "config": json.loads(config.to_json_string(use_diff=False)),
        "extractor": json.loads(extractor.to_json_string()),
    }


def from_description(described: dict[str, Any]) -> TransformersAudioEncoder:
    """The architecture that `description` was taken of, with random weights.

    Raises ArtifactError if it is not one that transformers knows.
    """
    try:
        with silenced():
            import transformers

            config = transformers.AutoConfig.for_model(**described["config"])
            kind = getattr(transformers, described["extractor"]["feature_extractor_type"])
            if not issubclass(kind, transformers.FeatureExtractionMixin):
                raise TypeError(f"{kind.__name__} is no feature extractor")
            extractor = kind.from_dict(described["extractor"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the encoder's network is not described as it must be: {error!r}") from None
    return _empty(config, extractor)


def _ast() -> tuple[Any, Any]:
    with silenced():
        from transformers import ASTConfig, ASTFeatureExtractor

        return ASTConfig(), ASTFeatureExtractor()


def _clap() -> tuple[Any, Any]:
    with silenced():
        from transformers import ClapConfig, ClapFeatureExtractor

        return ClapConfig(), ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50)


def _described(folder: Path) -> tuple[Any, Any]:
    """The config and the feature extractor in a folder."""
    try:
        with silenced():
            from transformers import AutoConfig, AutoFeatureExtractor

            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _no_audio_model(folder, str(error)) from None
    if not hasattr(extractor, "sampling_rate"):
        raise _no_audio_model(folder, f"its {type(extractor).__name__} has no sampling rate")
    return config, extractor


def _empty(config: Any, extractor: Any) -> TransformersAudioEncoder:
    """The architecture of `config`; of a model with an audio and a text tower, the former alone."""
    with silenced():
        from transformers import AutoModel, ClapAudioModel

        build = {
            "clap": lambda both: ClapAudioModel(both.audio_config),
            "clap_audio_model": ClapAudioModel,
        }
        model = build.get(config.model_type, AutoModel.from_config)(_still(config))
    return TransformersAudioEncoder(model, extractor).eval()


def _loaded(config: Any, extractor: Any, folder: Path) -> TransformersAudioEncoder:
    """The same with the weights in `folder`."""
    try:
        with silenced():
            from transformers import AutoModel

            model, report = AutoModel.from_pretrained(
                folder,
                config=_still(config),
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _no_audio_model(folder, str(error)) from None
    encoder = TransformersAudioEncoder(model, extractor).eval()
    own = [name for name in report["missing_keys"] if name.startswith(encoder.family.part)]
    missing = sorted(name for name in own if not name.endswith(_UNUSED))
    if missing:
        raise _no_audio_model(folder, f"its weights lack {missing[0]} and {len(missing) - 1} more")
    return encoder


def _still(config: Any) -> Any:
    """`config` with the model's own augmentations off."""
    for key in _STILL.keys() & vars(config).keys():
        setattr(config, key, _STILL[key])
    return config


def _no_audio_model(folder: Path, reason: str) -> ArtifactError:
    first = reason.strip().splitlines()[0].rstrip(".")
    return ArtifactError(
        f"{folder} holds no whole audio model that transformers can load ({first}); give a folder with "
        f"config.json, preprocessor_config.json and model.safetensors"
    )


def _features(extractor: Any) -> str:
    n_bands = getattr(extractor, "num_mel_bins", extractor.feature_size)
    what = f"{n_bands} mels" if n_bands > 1 else "waveform"
    return f"{what} ({type(extractor).__name__})"
