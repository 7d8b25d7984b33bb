"""The openWakeWord speech embedding as a trainable torch network.

openWakeWord 0.4.0 ships Google's speech embedding (328 k parameters, 96-d) and its mel front end as
two ONNX files. Both are rebuilt here from the files' own constants. The original maps a window of 76
mel frames to one vector; all its layers are local in time, so that this port runs over a clip of any
length at once and gives the same vectors, one every 8 mel frames (80 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.cola import BilinearSimilarity, cola_loss, halves
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.errors import ArtifactError

EMBEDDING_FILE = "embedding_model.onnx"
MELSPECTROGRAM_FILE = "melspectrogram.onnx"
_CHANNELS = 96
_TOP_DB = 80.0
_TRUNK = 15
# Output channels and kernel (time, mel) of each convolution; a max-pool (time, mel) follows some.
_LAYERS: tuple[tuple[int, tuple[int, int], tuple[int, int] | None], ...] = (
    (24, (3, 3), None),
    (24, (1, 3), None),
    (24, (3, 1), (2, 2)),
    (48, (1, 3), None),
    (48, (3, 1), None),
    (48, (1, 3), None),
    (48, (3, 1), (1, 2)),
    (72, (1, 3), None),
    (72, (3, 1), None),
    (72, (1, 3), None),
    (72, (3, 1), (2, 2)),
    (96, (1, 3), None),
    (96, (3, 1), None),
    (96, (1, 3), None),
    (96, (3, 1), (1, 2)),
    (96, (1, 3), None),
    (96, (3, 1), None),
    (96, (1, 3), None),
    (96, (3, 1), (2, 2)),
    (96, (3, 1), None),
)


class OpenWakeWordEncoder(AudioEncoder):
    """Mel front end, 20 convolutions, then mean and standard deviation over time (192-d)."""

    contract = EncoderContract(16000, None, "32 mels, 60-3800 Hz, window 25 ms, hop 10 ms", 3800.0)
    caches_trunk = True
    dim = 2 * _CHANNELS
    pretrained = True
    dft_real: Tensor
    dft_imag: Tensor
    mel_weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("dft_real", torch.zeros(257, 1, 512))
        self.register_buffer("dft_imag", torch.zeros(257, 1, 512))
        self.register_buffer("mel_weight", torch.zeros(257, 32))
        self.convs = nn.ModuleList()
        channels = 1
        for index, (width, kernel, _) in enumerate(_LAYERS):
            bias = 0 < index < len(_LAYERS) - 1
            padding = (0, 1 if kernel[1] == 3 else 0)
            self.convs.append(nn.Conv2d(channels, width, kernel, padding=padding, bias=bias))
            channels = width
        self.first_scale = nn.Parameter(torch.ones(24, 1, 1))
        self.first_shift = nn.Parameter(torch.zeros(24, 1, 1))
        self.similarity = BilinearSimilarity(_CHANNELS)

    def log_mel(self, waveform: Tensor) -> Tensor:
        """(B, samples) in [-1, 1] -> (B, T, 32): dB above the clip's maximum - 80, then x / 10 + 2."""
        pcm = (waveform * 32768.0).unsqueeze(1)
        real = F.conv1d(pcm, self.dft_real, stride=160)
        imag = F.conv1d(pcm, self.dft_imag, stride=160)
        power = (real.square() + imag.square()).transpose(1, 2) @ self.mel_weight
        decibel = 10.0 * torch.log10(power.clamp(min=1e-10))
        floor = decibel.amax(dim=(1, 2), keepdim=True) - _TOP_DB
        return torch.maximum(decibel, floor) / 10.0 + 2.0

    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) -> (B, T, 96, 2): 15 of 20 convolutions, every 40 ms; at least 12480 samples."""
        with torch.no_grad():
            mel = self.log_mel(waveform)
        return self._convolve(mel.unsqueeze(1), range(_TRUNK)).transpose(1, 2)

    def top(self, hidden: Tensor) -> Tensor:
        """(B, T, 96, 2) -> (B, T', 96): one vector every 80 ms, as the original gives them."""
        maps = self._convolve(hidden.transpose(1, 2), range(_TRUNK, len(self.convs)))
        return maps.squeeze(3).transpose(1, 2)

    def _convolve(self, x: Tensor, layers: range) -> Tensor:
        for index in layers:
            x = self.convs[index](x)
            if index == 0:
                x = F.relu(x) * self.first_scale + self.first_shift
            if index < len(_LAYERS) - 1:
                x = F.leaky_relu(x, 0.2).clamp(min=-0.4)
            pool = _LAYERS[index][2]
            if pool is not None:
                x = F.max_pool2d(x, pool)
        return x

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """15 convolutions, up to the fourth max-pool, and the first one's scale and shift."""
        return [self.convs[:_TRUNK], self.first_scale, self.first_shift]

    def pool(self, frames: Tensor) -> Tensor:
        """(B, T, 96) -> (B, 192): mean and standard deviation over time."""
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """The mean frame of each half of the clip: (B, 96), (B, 96)."""
        return halves(frames)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        """COLA between the two halves of each clip."""
        first, second = views
        return cola_loss(first, second, self.similarity)


def load_openwakeword(folder: Path) -> OpenWakeWordEncoder:
    """The pretrained encoder from the two ONNX files in `folder`.

    Raises ArtifactError if a file does not hold the layers that this port expects.
    """
    import onnx

    def tensors(name: str) -> tuple[list[list[str]], dict[str, np.ndarray]]:
        graph = onnx.load(str(folder / name)).graph
        values = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        kinds = ("Conv", "BatchNormalization")
        return [[node.op_type, *node.input] for node in graph.node if node.op_type in kinds], values

    model = OpenWakeWordEncoder()
    nodes, values = tensors(EMBEDDING_FILE)
    convs = [inputs for kind, *inputs in nodes if kind == "Conv"]
    norms = [inputs for kind, *inputs in nodes if kind == "BatchNormalization"]
    if len(convs) != len(model.convs) or len(norms) != 1:
        raise ArtifactError(
            f"{folder / EMBEDDING_FILE} has {len(convs)} convolutions and {len(norms)} normalisations, "
            f"expected {len(model.convs)} and 1; add the weights again"
        )
    state = model.state_dict()
    for index, inputs in enumerate(convs):
        for name, source in zip(("weight", "bias"), inputs[1:], strict=False):
            _put(state, f"convs.{index}.{name}", values[source])
    scale, shift, mean, variance = (values[name] for name in norms[0][1:])
    gain = scale / np.sqrt(variance + 1e-3)
    _put(state, "first_scale", gain.reshape(-1, 1, 1))
    _put(state, "first_shift", (shift - mean * gain).reshape(-1, 1, 1))
    _, mel = tensors(MELSPECTROGRAM_FILE)
    _put(state, "dft_real", mel["0.stft.conv_real.weight"])
    _put(state, "dft_imag", mel["0.stft.conv_imag.weight"])
    _put(state, "mel_weight", mel["1.melW"])
    model.load_state_dict(state)
    return model.eval()


def _put(state: dict[str, Tensor], name: str, value: np.ndarray) -> None:
    if name not in state or tuple(state[name].shape) != value.shape:
        raise ArtifactError(f"openWakeWord weights: {name} has shape {value.shape}; add the weights again")
    state[name] = torch.from_numpy(np.array(value, dtype=np.float32))
