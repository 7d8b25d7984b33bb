"""The encoder of OpenAI's whisper-base as a trainable torch network.

Radford et al., "Robust speech recognition via large-scale weak supervision" (2022): two convolutions,
fixed sinusoidal positions, six pre-norm transformer layers. The weights come from a CTranslate2 file
(float16). The original hears 30 s, padded with silence; here a clip keeps its length, up to 30 s, and
its positions are the first ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.cola import BilinearSimilarity, cola_loss, halves
from acula_edge.encoders.ctranslate2 import read_model
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.encoders.whisper_mel import RATE_HZ, WhisperMel
from acula_edge.errors import ArtifactError

MODEL_FILE = "model.bin"
MAX_SAMPLES = 30 * RATE_HZ
_SPECIFICATION = "WhisperSpec"
_MELS = 80
_WIDTH = 512
_HEADS = 8
_LAYERS = 6
_TOP_LAYERS = {3: 1, 6: 2}  # of an encoder of so many layers
_POSITIONS = 1500
# Parts of CTranslate2's names, and what they are called here.
_RENAMES = (
    (r"^encoder/layer_(\d+)/", r"layers/\1/"),
    (r"^encoder/position_encodings/encodings", "positions"),
    (r"^encoder/", ""),
    (r"self_attention/layer_norm", "attention_norm"),
    (r"self_attention/linear_0", "query_key_value"),
    (r"self_attention/linear_1", "mix"),
    (r"ffn/layer_norm", "mlp_norm"),
    (r"ffn/linear_0", "widen"),
    (r"ffn/linear_1", "narrow"),
    (r"layer_norm", "norm"),
    (r"gamma", "weight"),
    (r"beta", "bias"),
    (r"/", "."),
)


class WhisperLayer(nn.Module):
    """Pre-norm self-attention, then pre-norm GELU layers, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(_WIDTH)
        self.query_key_value = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.mix = nn.Linear(_WIDTH, _WIDTH)
        self.mlp_norm = nn.LayerNorm(_WIDTH)
        self.widen = nn.Linear(_WIDTH, 4 * _WIDTH)
        self.narrow = nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 512) -> (B, T, 512)."""
        heads = self.query_key_value(self.attention_norm(x)).unflatten(2, (3, _HEADS, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        x = x + self.mix(attended.transpose(1, 2).flatten(2))
        hidden: Tensor = x + self.narrow(F.gelu(self.widen(self.mlp_norm(x))))
        return hidden


class WhisperEncoder(AudioEncoder):
    """Log-mel, two convolutions, six layers, then mean and standard deviation over time (1024-d).

    Or the first three layers alone, without the final normalisation, which is made for the sixth: the
    early layers hold more of a heart or lung sound than the late ones, whose work is to find words.
    """

    contract = EncoderContract(RATE_HZ, 30.0, "80 mels, 0-8000 Hz, window 25 ms, hop 10 ms", 8000.0)
    caches_trunk = True
    dim = 2 * _WIDTH
    pretrained = True
    positions: Tensor

    def __init__(self, n_layers: int = _LAYERS) -> None:
        super().__init__()
        self._n_trunk = n_layers - _TOP_LAYERS[n_layers]
        self.log_mel = WhisperMel(_MELS)
        self.conv1 = nn.Conv1d(_MELS, _WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(_WIDTH, _WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.zeros(_POSITIONS, _WIDTH))
        self.layers = nn.ModuleList(WhisperLayer() for _ in range(n_layers))
        self.norm = nn.LayerNorm(_WIDTH) if n_layers == _LAYERS else nn.Identity()
        self.similarity = BilinearSimilarity(_WIDTH)

    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) -> (B, T, 512): convolutions and layers, every 20 ms of the first 30 s."""
        with torch.no_grad():
            mel = self.log_mel(waveform[:, :MAX_SAMPLES])
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for layer in self.layers[: self._n_trunk]:
            x = layer(x)
        return x

    def top(self, hidden: Tensor) -> Tensor:
        """(B, T, 512) -> (B, T, 512): the last layers and the final normalisation."""
        for layer in self.layers[self._n_trunk :]:
            hidden = layer(hidden)
        frames: Tensor = self.norm(hidden)
        return frames

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """Both convolutions and all layers but the last two, or of three layers all but the last."""
        return [self.conv1, self.conv2, self.layers[: self._n_trunk]]

    def pool(self, frames: Tensor) -> Tensor:
        """(B, T, 512) -> (B, 1024): mean and standard deviation over time."""
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """The mean frame of each half of the clip: (B, 512), (B, 512)."""
        return halves(frames)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        """COLA between the two halves of each clip."""
        first, second = views
        return cola_loss(first, second, self.similarity)


def load_whisper(folder: Path, n_layers: int = _LAYERS) -> WhisperEncoder:
    """The first `n_layers` (3 or 6) of the encoder in the CTranslate2 file in `folder`.

    Raises ArtifactError if the file is damaged or holds another model.
    """
    path = folder / MODEL_FILE
    model = read_model(path)
    if model.specification != _SPECIFICATION:
        raise ArtifactError(
            f"{path} is a {model.specification}, not a {_SPECIFICATION}; add the weights again"
        )
    own = (name for name in model.tensors if name.startswith("encoder/") and name != "encoder/num_heads")
    state = {_renamed(name): model.tensors[name].float() for name in own}
    encoder = WhisperEncoder(n_layers)
    if n_layers < _LAYERS:
        state = {name: value for name, value in state.items() if name in encoder.state_dict()}
    state |= {f"similarity.{name}": value for name, value in encoder.similarity.state_dict().items()}
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise ArtifactError(f"{path} is not whisper-base: {error}; add the weights again") from None
    return encoder.eval()


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
