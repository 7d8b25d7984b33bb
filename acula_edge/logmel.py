"""LogMel: the front end as a torch module made of operations that every runtime has.

The DFT is a strided convolution, so that there is no framing op, no FFT and no complex number in the
graph; the mel filters are a convolution of width one over the squared real and imaginary parts.
Made by `acula_edge.frontend.log_mel_module`. Must stay in float when a model is quantised.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


class LogMel(nn.Module):
    """int16 PCM (B, clip_samples) -> float32 normalised log-mel features (B, 1, n_mels, n_frames)."""

    dft: Tensor
    mel: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        dft: NDArray[np.float64],
        mel: NDArray[np.float64],
        hop_samples: int,
        full_scale: float,
        log_floor: float,
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
    ) -> None:
        """`dft` (2, n_bins, window_samples), `mel` (n_mels, n_bins), `mean` and `std` (n_mels, 1)."""
        super().__init__()
        self.hop_samples = hop_samples
        self.full_scale = full_scale
        self.log_floor = log_floor
        self._constant("dft", dft.reshape(-1, 1, dft.shape[-1]))
        self._constant("mel", np.concatenate([mel, mel], axis=1)[:, :, None])
        self._constant("scale", 1.0 / std)
        self._constant("offset", -mean / std)

    def forward(self, pcm: Tensor) -> Tensor:
        """Features of a batch of clips; see the class."""
        signal = pcm.to(torch.float32).unsqueeze(1) * (1.0 / self.full_scale)
        spectrum = F.conv1d(signal, self.dft, stride=self.hop_samples)
        power = F.conv1d(spectrum * spectrum, self.mel)
        log_power = torch.log(torch.clamp(power, min=self.log_floor))
        return (log_power * self.scale + self.offset).unsqueeze(1)

    def _constant(self, name: str, value: NDArray[np.float64]) -> None:
        self.register_buffer(name, torch.from_numpy(value.astype(np.float32)))
