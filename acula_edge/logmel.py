"""LogMel: the front end as a torch module made of operations that every runtime has.

The DFT is a strided convolution, so that there is no framing op, no FFT and no complex number in the
graph; the mel filters are a convolution of width one over the squared real and imaginary parts.
Rounding must not show in INT8 features. A body sound has weak bands 50 dB below loud low ones: so the DFT
takes the steps from sample to sample, which are exact and far smaller, and its kernels sum them up again. The
mel filters divide by the mean, so that the logarithm is near zero and nothing large is added to it.
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
    floor: Tensor
    scale: Tensor

    def __init__(
        self,
        dft: NDArray[np.float64],
        differences: bool,
        mel: NDArray[np.float64],
        hop_samples: int,
        log_floor: float,
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
    ) -> None:
        """`dft` (2, n_bins, taps) of samples, or of `differences`: from each sample to the next.

        `mel` (n_mels, n_bins), `mean` and `std` (n_mels, 1). PCM counts as it is, -32768 to 32767.
        """
        super().__init__()
        self.hop_samples = hop_samples
        self.differences = differences
        bands = mel / np.exp(mean)
        self._constant("dft", dft.reshape(-1, 1, dft.shape[-1]))
        self._constant("mel", np.concatenate([bands, bands], axis=1)[:, :, None])
        self._constant("floor", log_floor / np.exp(mean))
        self._constant("scale", 1.0 / std)

    def forward(self, pcm: Tensor) -> Tensor:
        """Features of a batch of clips; see the class."""
        signal = pcm.to(torch.float32).unsqueeze(1)
        if self.differences:
            signal = signal[..., 1:] - signal[..., :-1]
        spectrum = F.conv1d(signal, self.dft, stride=self.hop_samples)
        power = F.conv1d(spectrum * spectrum, self.mel)
        log_power = torch.log(torch.maximum(power, self.floor))
        return (log_power * self.scale).unsqueeze(1)

    def _constant(self, name: str, value: NDArray[np.float64]) -> None:
        self.register_buffer(name, torch.from_numpy(value.astype(np.float32)))
