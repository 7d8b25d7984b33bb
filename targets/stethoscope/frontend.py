"""Front end of the firmware: its tables, and a twin of its C code that gives the same bits.

Rounding must not show in INT8 features. A body sound has weak bands 50 dB below loud low ones: so the
transform takes differences of the windowed sound, y[n+1] - y[n], whose spectrum is about level. Bin k is
2 sin(pi k / n_fft) times as strong there. The weights of the bands undo that; they also divide by the mean,
so that the logarithm is near zero and nothing large is added to it.

The twin does what `c/acula_frontend.c` does, number by number in single precision, for all frames at once.
It makes the golden vectors without a compiler, and the tests hold the C code to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.contract import AudioContract
from acula_edge.errors import ContractError
from acula_edge.frontend import FULL_SCALE, mel_filterbank
from targets.stethoscope.network import Grid

Floats = NDArray[np.float32]
_F = np.float32
# Added and taken away again, it leaves the nearest whole number, the even one of two.
_WHOLE = _F(12582912.0)
# S. L. Moshier's logf, Cephes 2.2.
_SQRT_HALF = _F(0.707106781186547524)
_POLYNOMIAL = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
_LN2_LOW, _LN2_HIGH = _F(-2.12194440e-4), _F(0.693359375)


@dataclass(frozen=True)
class Tables:
    """Constants of the front end under the names that the C code gives them; see `c/acula_tables.h`."""

    window: Floats
    roots: Floats
    order: NDArray[np.uint16]
    band_first: NDArray[np.uint16]
    band_count: NDArray[np.uint16]
    band_weights: Floats
    floors: Floats
    gains: Floats
    zero_point: int


def make_tables(contract: AudioContract, grid: Grid) -> Tables:
    """The tables for features on `grid`. Raises ContractError without a learned normalisation."""
    if contract.normalisation is None:
        raise ContractError("the audio contract has no normalisation; build the Dataset again")
    n_fft = contract.n_fft
    angles = -2.0 * np.pi * np.arange(3 * n_fft // 4 + 1) / n_fft
    bank = mel_filterbank(contract)
    used = [np.flatnonzero(band) for band in bank]
    means = np.exp(np.array(contract.normalisation.mean))
    return Tables(
        window=_window(contract).astype(_F),
        roots=np.stack([np.cos(angles), np.sin(angles)], 1).astype(_F).ravel(),
        order=_pairs_in_order(contract).astype(np.uint16),
        band_first=np.array([bins[0] for bins in used], dtype=np.uint16),
        band_count=np.array([len(bins) for bins in used], dtype=np.uint16),
        band_weights=np.concatenate(
            [bank[m, bins] / (_strength(bins, n_fft) * means[m]) for m, bins in enumerate(used)]
        ).astype(_F),
        floors=(contract.log_floor / means).astype(_F),
        gains=(1.0 / (np.array(contract.normalisation.std) * grid.scale)).astype(_F),
        zero_point=grid.zero_point,
    )


def _pairs_in_order(contract: AudioContract) -> NDArray[np.int64]:
    """The pair of samples that each place starts with; the first one where the window has ended."""
    order = np.array(_order(contract.n_fft // 2, 0, 1))
    return np.where(2 * order < contract.window_samples, order, 0)


def _window(contract: AudioContract) -> NDArray[np.float64]:
    """w[n+1] and w[n+1] - w[n] of both samples of each pair, flat (2 n_fft,); w is Hann over full scale.

    w[n+1] x[n+1] - w[n] x[n] = w[n+1] (x[n+1] - x[n]) + (w[n+1] - w[n]) x[n].
    """
    samples = np.arange(contract.window_samples + 1)  # one sample further the periodic window is zero again
    hann = (0.5 - 0.5 * np.cos(2.0 * np.pi * samples / contract.window_samples)) / FULL_SCALE
    table = np.zeros((contract.n_fft, 2))
    table[: contract.window_samples] = np.stack([hann[1:], np.diff(hann)], 1)
    return table.reshape(-1, 4)[_order(contract.n_fft // 2, 0, 1)].ravel()


def _strength(bins: NDArray[np.int64], n_fft: int) -> NDArray[np.float64]:
    """Power of differences over that of the sound; four times, as the transform gives twice the spectrum."""
    return np.asarray(4.0 * (2.0 * np.sin(np.pi * bins / n_fft)) ** 2)


def radix_2_first(contract: AudioContract) -> bool:
    """Whether the transform of n_fft / 2 points, in steps of four, begins with a step of two."""
    return (contract.n_fft // 2).bit_length() % 2 == 0


def features(pcm: NDArray[np.int16], contract: AudioContract, tables: Tables) -> NDArray[np.int8]:
    """What the C code makes of clips: int16 (n, clip_samples) -> int8 (n, n_mels, n_frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(pcm, contract.window_samples, axis=-1)
    frames = frames[:, :: contract.hop_samples][:, : contract.n_frames]
    re, im = _transform(_loaded(frames, tables), contract, tables)
    power = _powers(re, im, tables)
    steps = np.empty((len(pcm), contract.n_mels, contract.n_frames), np.int8)
    start = 0
    for m, (first, count) in enumerate(zip(tables.band_first, tables.band_count, strict=True)):
        total = np.zeros(power.shape[:-1], _F)
        for i in range(int(count)):
            total = total + power[..., int(first) + i] * tables.band_weights[start + i]
        start += int(count)
        x = _logarithm(np.maximum(total, tables.floors[m])) * tables.gains[m]
        least, most = _F(-128 - tables.zero_point), _F(127 - tables.zero_point)
        clipped = np.minimum(np.maximum(x, least), most)
        whole = (clipped + _WHOLE) - _WHOLE
        steps[:, m] = (whole.astype(np.int32) + tables.zero_point).astype(np.int8)
    return steps


def _order(size: int, start: int, step: int) -> list[int]:
    """Which number each place starts with: the four parts hold every fourth number, and so on within."""
    if size <= 2:
        return [start + step * place for place in range(size)]
    return [place for part in range(4) for place in _order(size // 4, start + step * part, step * 4)]


def _loaded(frames: NDArray[np.int16], tables: Tables) -> tuple[Floats, Floats]:
    two_more = [(0, 0)] * (frames.ndim - 1) + [(0, 2)]
    samples = np.pad(frames, two_more).astype(np.int32)
    first, second, third = (samples[..., 2 * tables.order.astype(np.int64) + i] for i in range(3))
    by = tables.window.reshape(-1, 4)
    re = (second - first).astype(_F) * by[:, 0] + first.astype(_F) * by[:, 1]
    return re, (third - second).astype(_F) * by[:, 2] + second.astype(_F) * by[:, 3]


def _transform(z: tuple[Floats, Floats], contract: AudioContract, tables: Tables) -> tuple[Floats, Floats]:
    re, im = z
    points, quarter = contract.n_fft // 2, 1
    if radix_2_first(contract):
        re, im, quarter = _pairs(re), _pairs(im), 2
    while quarter < points:
        root = contract.n_fft // (4 * quarter) * np.arange(quarter)
        shape = (*re.shape[:-1], -1, 4, quarter)
        re, im = _butterflies(re.reshape(shape), im.reshape(shape), root, tables)
        re, im = re.reshape(*shape[:-3], points), im.reshape(*shape[:-3], points)
        quarter *= 4
    return re, im


def _pairs(x: Floats) -> Floats:
    made = np.empty_like(x)
    made[..., 0::2] = x[..., 0::2] + x[..., 1::2]
    made[..., 1::2] = x[..., 0::2] - x[..., 1::2]
    return made


def _butterflies(re: Floats, im: Floats, root: NDArray[np.int64], tables: Tables) -> tuple[Floats, Floats]:
    def turned(part: int) -> tuple[Floats, Floats]:
        cosine, sine = tables.roots[2 * part * root], tables.roots[2 * part * root + 1]
        x, y = re[..., part, :], im[..., part, :]
        return x * cosine - y * sine, x * sine + y * cosine

    (b_re, b_im), (c_re, c_im), (d_re, d_im) = turned(1), turned(2), turned(3)
    even_re, even_im = re[..., 0, :] + c_re, im[..., 0, :] + c_im
    odd_re, odd_im = re[..., 0, :] - c_re, im[..., 0, :] - c_im
    sum_re, sum_im, turn_re, turn_im = b_re + d_re, b_im + d_im, b_im - d_im, d_re - b_re
    made_re = [even_re + sum_re, odd_re + turn_re, even_re - sum_re, odd_re - turn_re]
    made_im = [even_im + sum_im, odd_im + turn_im, even_im - sum_im, odd_im - turn_im]
    return np.stack(made_re, -2), np.stack(made_im, -2)


def _powers(re: Floats, im: Floats, tables: Tables) -> Floats:
    """Four times the power of bins 0 to points - 1; bin 0, which no band holds, is left at 0."""
    points = re.shape[-1]
    near = np.arange(1, points // 2 + 1)
    far = points - near
    cosine, sine = tables.roots[2 * near], tables.roots[2 * near + 1]
    even_re, even_im = re[..., near] + re[..., far], im[..., near] - im[..., far]
    odd_re, odd_im = re[..., near] - re[..., far], im[..., near] + im[..., far]
    turn_re, turn_im = odd_im * cosine + odd_re * sine, odd_im * sine - odd_re * cosine
    power = np.zeros(re.shape, _F)
    power[..., far] = np.square(even_re - turn_re) + np.square(even_im - turn_im)
    power[..., near] = np.square(even_re + turn_re) + np.square(even_im + turn_im)
    return power


def _logarithm(x: Floats) -> Floats:
    m, exponent = np.frexp(x)
    low = m < _SQRT_HALF
    m = np.where(low, (m + m) - _F(1), m - _F(1))
    e = (exponent - low).astype(_F)
    square = m * m
    y: Any = np.full_like(m, _F(_POLYNOMIAL[0]))
    for factor in _POLYNOMIAL[1:]:
        y = y * m + _F(factor)
    y = (y * m) * square
    y = y + e * _LN2_LOW
    y = y - _F(0.5) * square
    return np.asarray((m + y) + e * _LN2_HIGH, dtype=_F)
