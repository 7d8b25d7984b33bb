"""The front end of the audio contract in numpy: the reference that every graph and the firmware must meet.

pcm / 32768 -> frames (no padding) -> periodic Hann -> |DFT|^2 -> Slaney mel filters -> max(., floor)
-> natural logarithm -> (x - mean) / std. `log_mel_module` is the same as a torch module for export.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acula_edge.contract import Affine, AudioContract
from acula_edge.errors import ContractError, DataError

if TYPE_CHECKING:
    from acula_edge.logmel import LogMel

FULL_SCALE = 32768.0
# A band that hardly moves in training (the anti-aliasing filter's stop band, say) must not be blown up
# by its own normalisation: 0.1 in the natural logarithm of power is 0.4 dB.
MIN_STD = 0.1
_NOTHING = 1e-9  # of a window's transform, which is half the window's length at its peak
_DECIMALS = 6  # of the learned mean and std: short in a firmware header, far below one INT8 step


def mel_filterbank(contract: AudioContract) -> NDArray[np.float64]:
    """Triangular filters of equal area, float64 (n_mels, n_fft // 2 + 1), in 1 / Hz.

    Mel scale and area normalisation of Slaney, Auditory Toolbox, 1998 (librosa's default). The
    contract has refused bands that hold no bin.
    """
    bins_hz = np.arange(contract.n_fft // 2 + 1) * contract.sample_rate_hz / contract.n_fft
    edges_hz = np.array(contract.mel_edges_hz)[:, None]
    low_hz, peak_hz, high_hz = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz - low_hz) / (peak_hz - low_hz)
    falling = (high_hz - bins_hz) / (high_hz - peak_hz)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * 2.0 / (high_hz - low_hz), dtype=np.float64)


def unnormalised_log_mel(pcm: NDArray[np.int16], contract: AudioContract) -> NDArray[np.float64]:
    """Log-mel power before the affine: int16 (..., clip_samples) -> float64 (..., n_mels, n_frames).

    Raises ContractError for samples of another type or clips of another length.
    """
    if pcm.dtype != np.int16 or pcm.shape[-1:] != (contract.clip_samples,):
        raise ContractError(
            f"the front end takes int16 clips of {contract.clip_samples} samples, not {pcm.dtype} {pcm.shape}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(pcm, contract.window_samples, axis=-1)
    frames = windows[..., :: contract.hop_samples, :] / FULL_SCALE
    spectrum = np.fft.rfft(frames * _hann(contract.window_samples), contract.n_fft)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel = np.swapaxes(power @ mel_filterbank(contract).T, -1, -2)
    return np.asarray(np.log(np.maximum(mel, contract.log_floor)), dtype=np.float64)


def log_mel(pcm: NDArray[np.int16], contract: AudioContract) -> NDArray[np.float32]:
    """Features of clips: int16 (..., clip_samples) -> float32 (..., n_mels, n_frames).

    Computed in float64, rounded once at the end. Raises ContractError as `unnormalised_log_mel`.
    """
    mean, std = _affine(contract)
    return ((unnormalised_log_mel(pcm, contract) - mean) / std).astype(np.float32)


def learn_normalisation(clips: Iterable[NDArray[np.int16]], contract: AudioContract) -> Affine:
    """Mean and standard deviation of each mel band over all frames of `clips` (the training split).

    `clips` yields int16 (k, clip_samples), one recording at a time; sums are float64, and the same
    order gives the same bits. Raises DataError if there is no clip.
    """
    n_frames = 0
    total = np.zeros(contract.n_mels)
    squares = np.zeros(contract.n_mels)
    for pcm in clips:
        features = unnormalised_log_mel(pcm, contract)
        n_frames += features.shape[0] * features.shape[2]
        total += features.sum(axis=(0, 2))
        squares += np.square(features).sum(axis=(0, 2))
    if n_frames == 0:
        raise DataError("the training split holds no clip to learn the normalisation from; add recordings")
    mean = total / n_frames
    std = np.sqrt(np.maximum(squares / n_frames - np.square(mean), 0.0))
    return Affine(
        mean=tuple(np.round(mean, _DECIMALS).tolist()),
        std=tuple(np.round(np.maximum(std, MIN_STD), _DECIMALS).tolist()),
    )


def log_mel_module(contract: AudioContract) -> LogMel:
    """The same as a torch module: int16 (B, clip_samples) -> float32 (B, 1, n_mels, n_frames)."""
    from acula_edge.logmel import LogMel

    bank = mel_filterbank(contract)
    used = bank.any(axis=0)  # bins outside all bands are never computed
    mean, std = _affine(contract)
    dft, differences = _of_differences(_dft_kernels(contract)[:, used])
    return LogMel(
        dft=dft / FULL_SCALE,
        differences=differences,
        mel=bank[:, used],
        hop_samples=contract.hop_samples,
        log_floor=contract.log_floor,
        mean=mean,
        std=std,
    )


def _hann(n_samples: int) -> NDArray[np.float64]:
    """Periodic Hann window: 0.5 - 0.5 cos(2 pi n / N)."""
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_samples) / n_samples))


def _dft_kernels(contract: AudioContract) -> NDArray[np.float64]:
    """Windowed cosine and sine, float64 (2, n_fft // 2 + 1, window_samples)."""
    bins = np.arange(contract.n_fft // 2 + 1)
    samples = np.arange(contract.window_samples)
    # The phase is reduced in integers first: exact for any length.
    phase = 2.0 * np.pi * (np.outer(bins, samples) % contract.n_fft) / contract.n_fft
    return np.stack([np.cos(phase), np.sin(phase)]) * _hann(contract.window_samples)


def _of_differences(kernels: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Kernels (2, n_bins, window - 1) for x[n+1] - x[n], and true; the same ones for x, and false.

    Summation by parts: sum_n g[n] x[n] = G[last] x[last] - sum_n G[n] (x[n+1] - x[n]), where G sums g up. The
    first term is gone where the window's own transform is zero: in each bin from the second on, if the DFT is
    as long as the window.
    """
    sums = np.cumsum(kernels, axis=-1)
    if np.abs(sums[..., -1]).max() > _NOTHING:
        return kernels, False
    return -sums[..., :-1], True


def _affine(contract: AudioContract) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std, float64 (n_mels, 1) each; 0 and 1 before the normalisation is learned."""
    affine = contract.normalisation
    if affine is None:
        return np.zeros((contract.n_mels, 1)), np.ones((contract.n_mels, 1))
    return np.array(affine.mean)[:, None], np.array(affine.std)[:, None]
