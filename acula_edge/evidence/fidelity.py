"""Fidelity: what INT8 did to a student on validation recordings, as the typed values of fidelity.json."""

from __future__ import annotations

from acula_edge.evidence.results import Accuracy, Frozen


class WeightScales(Frozen):
    """Scales of a layer's output channels.

    `octaves[k]` channels have a scale in (largest / 2^(k+1), largest / 2^k]; the last entry counts the rest.
    """

    smallest: float
    median: float
    largest: float
    octaves: tuple[int, ...]


class LayerFidelity(Frozen):
    """One layer of an INT8 graph against the same layer in float, over all values of all clips.

    `sqnr_db` is 10 log10(signal power / error power) with all layers before it in INT8, `alone_db` with
    float inputs; `cosine` is that of all its values. `saturated` is the share of float values that lie
    outside the grid. None where there is no grid, no signal or no error.
    """

    layer: str
    kind: str
    scale: float | None
    zero_point: int | None
    sqnr_db: float | None
    alone_db: float | None
    cosine: float | None
    saturated: float
    weight_scales: WeightScales | None


class FloatEffect(Frozen):
    """What the INT8 graph gains if one layer alone stays float.

    `auroc` is the gain of the mean AUROC over the tasks, None where no task can be scored on these clips;
    `error` is the share of the embedding's squared error that goes away (it can be negative).
    """

    layer: str
    auroc: float | None
    error: float


class Geometry(Frozen):
    """One INT8 file's embeddings against the float ones.

    `neighbour_overlap` is the mean share of the `depth` nearest recordings that both have in common.
    """

    system: str
    title: str
    cka: float
    depth: int
    neighbour_overlap: float
    neighbour_chance: float


class ReportSearch(Frozen):
    """From a recording to its own report among all different ones: hits among the first 1, 5 and 10."""

    system: str
    title: str
    recordings: int
    candidates: int
    recall: dict[str, float]
    chance: dict[str, float]
    median_rank: float


class Fidelity(Frozen):
    """fidelity.json. Scores and geometry are over `recordings`, layers and float effects over `clips`.

    `report_search` is empty where no teacher was at hand: its reports are kept in no student.
    """

    recordings: int
    patients: int
    clips: int
    accuracy: Accuracy
    zero_shot: Accuracy | None
    geometry: tuple[Geometry, ...]
    report_search: tuple[ReportSearch, ...]
    layers: dict[str, tuple[LayerFidelity, ...]]
    float_effects: tuple[FloatEffect, ...]
