"""Library: the C sources of one student, as files with their text."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from acula_edge.contract import AudioContract
from acula_edge.evidence.decisions import Decisions
from targets.facts import Labels, label_rows
from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.c_text import array, defines, quoted
from targets.stethoscope.cores import VENDORED
from targets.stethoscope.frontend import Tables, make_tables, radix_2_first
from targets.stethoscope.hops import Hops, hops_of
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.memory import MemoryPlan, plan_memory
from targets.stethoscope.network import Grid, Mean, Network
from targets.stethoscope.network_source import NetworkSource, network_source
from targets.stethoscope.rules import limits_of, rules_c
from targets.stethoscope.vendor import cmsis_files

_ONE = 32768  # of a probability
_HALVING = 2**20  # of an exponential
_MOST_HALVINGS = 2**24 - 1  # 255 steps of them fit 32 bits
_PUBLIC = ("acula.h", "acula_config.h", "acula_frontend.h", "acula_kernels.h")
_WINDOWS = ("acula_convolution.c", "acula_depthwise.c", "acula_windows.h")  # our convolutions

Defines = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Excerpt:
    """A real sound and what the reference runtime makes of it, repeated until the clip is full.

    `pcm` int16 (samples,), `embedding` int8 (E,), `logits` int8 (K,).
    """

    pcm: NDArray[np.int16]
    embedding: NDArray[np.int8]
    logits: NDArray[np.int8]


@dataclass(frozen=True)
class Firmware:
    """What is generated from: the network and its hops, the plan, the front end, what the outputs mean."""

    back_end: BackEnd
    network: Network
    hops: Hops
    plan: MemoryPlan
    source: NetworkSource
    contract: AudioContract
    tables: Tables
    labels: Labels
    decisions: Decisions
    version: str


def make_firmware(
    network: Network,
    contract: AudioContract,
    labels: Labels,
    decisions: Decisions,
    version: str,
    hops: Hops | None = None,
    kernels: Kernels | None = None,
) -> Firmware:
    """Plan and generate: hop by hop where the network allows it, or as `hops` says; for `kernels`, else ours.

    Raises ArtifactError for a network that the kernels can not hold.
    """
    hops = hops or hops_of(network)
    kernels = kernels or Kernels()
    plan = plan_memory(hops, kernels)
    tables = make_tables(contract, network.features.grid)
    source = network_source(hops, plan, kernels.back_end)
    return Firmware(
        kernels.back_end, network, hops, plan, source, contract, tables, labels, decisions, version
    )


def library_files(firmware: Firmware, excerpt: Excerpt) -> dict[str, str]:
    """Text of each file by its path: headers in include/, what is not ours in cmsis_nn/, all else in src/.

    Raises ToolError if a back end's sources are not installed.
    """
    generated = {
        "acula_config.h": _config(firmware, excerpt),
        "acula_network.c": firmware.source.text,
        "acula_tables.c": _tables(firmware.tables),
        "acula_labels.c": _labels(firmware),
        "acula_rules.c": _rules(firmware),
        "acula_golden.c": _golden(excerpt),
    }
    texts = {**shipped_files("c"), **generated}
    vendored: dict[str, str] = {}
    if firmware.back_end is BackEnd.CMSIS_NN:
        texts = {name: text for name, text in texts.items() if name not in _WINDOWS} | shipped_files("cmsis")
        vendored = {f"{VENDORED}/{name}": text for name, text in sorted(cmsis_files().items())}
    ours = {f"{'include' if name in _PUBLIC else 'src'}/{name}": text for name, text in sorted(texts.items())}
    return ours | vendored


def shipped_files(folder_name: str) -> dict[str, str]:
    """Text of each file, by name, in a folder of this package."""
    folder = resources.files("targets.stethoscope") / folder_name
    return {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}


def _config(firmware: Firmware, excerpt: Excerpt) -> str:
    sizes = defines(
        (*_of_sound(firmware), *_of_network(firmware), ("ACULA_GOLDEN_SAMPLES", excerpt.pcm.size))
    )
    return (
        "/* Sizes of this model, made from its audio contract and its memory plan. */\n"
        f"#ifndef ACULA_CONFIG_H\n#define ACULA_CONFIG_H\n\n{sizes}\n#endif\n"
    )


def _of_sound(firmware: Firmware) -> Defines:
    contract, tables, hops = firmware.contract, firmware.tables, firmware.hops
    mel_step, frame_step = (1, contract.n_mels) if hops.turned else (hops.frames, 1)
    return (
        ("ACULA_SAMPLE_RATE_HZ", contract.sample_rate_hz),
        ("ACULA_CLIP_SAMPLES", contract.clip_samples),
        ("ACULA_WINDOW_SAMPLES", contract.window_samples),
        ("ACULA_HOP_SAMPLES", contract.hop_samples),
        ("ACULA_N_FFT", contract.n_fft),
        ("ACULA_N_MELS", contract.n_mels),
        ("ACULA_N_FRAMES", contract.n_frames),
        ("ACULA_HOP_FRAMES", hops.frames),
        ("ACULA_HOPS", hops.count),
        ("ACULA_MEL_STEP", mel_step),
        ("ACULA_FRAME_STEP", frame_step),
        ("ACULA_RADIX_2_FIRST", int(radix_2_first(contract))),
        ("ACULA_ROOTS", tables.roots.size),
        ("ACULA_BAND_WEIGHTS", tables.band_weights.size),
        ("ACULA_FEATURES_ZERO", tables.zero_point),
    )


def _of_network(firmware: Firmware) -> Defines:
    network, plan, source = firmware.network, firmware.plan, firmware.source
    embedding, logits = network.embedding, network.logits
    means = [layer.result.size_bytes for layer in network.layers if isinstance(layer, Mean)]
    return (
        ("ACULA_VERSION", quoted(firmware.version)),
        ("ACULA_ARENA_BYTES", plan.arena_bytes),
        ("ACULA_FEATURES_OFFSET", plan.offset(firmware.hops.network.features)),
        ("ACULA_EMBEDDING_OFFSET", plan.offset(embedding)),
        ("ACULA_LOGITS_OFFSET", plan.offset(logits)),
        ("ACULA_EMBEDDING_DIM", embedding.size_bytes),
        ("ACULA_N_LOGITS", logits.size_bytes),
        *_grid("EMBEDDING", embedding.grid),
        *_grid("LOGITS", logits.grid),
        ("ACULA_STEPS", len(network.layers)),
        ("ACULA_SUMS", sum(means)),
        ("ACULA_HEAD_LAYERS", len(source.head)),
        ("ACULA_HEAD_BIASES", source.head_biases),
        ("ACULA_WEIGHTS_CRC", f"0x{source.weights_crc:08x}u"),
        ("ACULA_SIMULATED_TRAINING_DATA", int(firmware.labels.simulated)),
    )


def _grid(name: str, grid: Grid) -> Defines:
    return (f"ACULA_{name}_SCALE", f"{grid.scale!r}f"), (f"ACULA_{name}_ZERO", grid.zero_point)


def _tables(tables: Tables) -> str:
    bands = "".join(
        f"    {{{first}u, {count}u, {end - count}u}},\n"
        for first, count, end in zip(
            tables.band_first, tables.band_count, np.cumsum(tables.band_count), strict=True
        )
    )
    parts = (
        '#include "acula_tables.h"\n',
        array("acula_window", tables.window, static=False),
        array("acula_roots", tables.roots, static=False),
        array("acula_order", tables.order, static=False),
        f"const acula_band_t acula_bands[{len(tables.band_first)}] = {{\n{bands}}};\n",
        array("acula_band_weights", tables.band_weights, static=False),
        array("acula_floors", tables.floors, static=False),
        array("acula_gains", tables.gains, static=False),
    )
    return "\n".join(parts)


def _labels(firmware: Firmware) -> str:
    rows = label_rows(firmware.labels)
    tasks = [row.task for row in rows]
    lines = "".join(
        f"    {{{quoted(row.task)}, {quoted(row.class_name)}, {tasks.index(row.task)}u, "
        f"{tasks.count(row.task)}u}},\n"
        for row in rows
    )
    powers = _ONE * np.exp2(-np.arange(257) / 256.0)
    parts = (
        '#include "acula.h"\n#include "acula_results.h"\n',
        f"const acula_label_t acula_labels[ACULA_N_LOGITS] = {{\n{lines}}};\n",
        array("acula_powers", np.rint(powers).astype(np.uint32), static=False),
        array("acula_halvings", _halvings(firmware), static=False),
    )
    return "\n".join(parts)


def _halvings(firmware: Firmware) -> NDArray[np.uint32]:
    """Of each logit (K,): exp(-scale / temperature) as a power of one half."""
    temperatures = {own.task: own.temperature for own in firmware.decisions.tasks}
    scale = firmware.network.logits.grid.scale
    halvings = [
        _HALVING * scale / (temperatures[row.task] * np.log(2.0)) for row in label_rows(firmware.labels)
    ]
    return np.minimum(np.rint(halvings), _MOST_HALVINGS).astype(np.uint32)


def _rules(firmware: Firmware) -> str:
    logits = firmware.network.logits
    return rules_c(limits_of(firmware.decisions, firmware.labels, logits.grid), logits.size_bytes)


def _golden(excerpt: Excerpt) -> str:
    parts = (
        '#include "acula_golden.h"\n',
        array("acula_golden_pcm", excerpt.pcm, static=False),
        array("acula_golden_embedding", excerpt.embedding, static=False),
        array("acula_golden_logits", excerpt.logits, static=False),
    )
    return "\n".join(parts)
