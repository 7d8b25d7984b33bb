"""Fidelity tables: what the terminal and the report show of fidelity.json."""

from __future__ import annotations

from acula_edge.evidence.fidelity import Fidelity, FloatEffect, Geometry, LayerFidelity, ReportSearch
from acula_edge.evidence.results import Estimate
from acula_edge.evidence.tables import Cell, Table, cells
from acula_edge.evidence.text import ABSENT, interval, number, signed


def geometry_table(found: Fidelity) -> Table:
    """Each INT8 file: what is left of the embedding, of the scores and of zero-shot classification."""
    rows = [(Cell(one.title), *_geometry(one), *_scores(found, one.system)) for one in found.geometry]
    depth = found.geometry[0].depth if found.geometry else 0
    header = (
        *("file", "CKA", f"neighbours kept of {depth}"),
        *("AUROC", "difference", "zero-shot AUROC", "difference"),
    )
    caption = f"INT8 against float on {found.recordings} validation recordings of {found.patients} patients"
    return Table(caption, header, tuple(rows))


def _geometry(one: Geometry) -> tuple[Cell, ...]:
    return (
        Cell(f"{one.cka:.4f}"),
        Cell(f"{one.neighbour_overlap:.3f}", f"chance {one.neighbour_chance:.3f}"),
    )


def _scores(found: Fidelity, system: str) -> tuple[Cell, ...]:
    row: list[Cell] = []
    for accuracy in (found.accuracy, found.zero_shot):
        difference = accuracy.difference(system, accuracy.systems[0].system) if accuracy else None
        if accuracy is None or difference is None:
            row += cells(ABSENT, ABSENT)
            continue
        mean = next(one.mean for one in accuracy.systems if one.system == system)
        row += [Cell(number(mean)), _gained(difference.mean)]
    return tuple(row)


def _gained(estimate: Estimate) -> Cell:
    return Cell(signed(estimate), interval(estimate, "+"))


def search_table(found: Fidelity) -> Table:
    """How often a recording finds its own report among the first ones."""
    rows = [
        (
            Cell(one.title),
            *(Cell(f"{hit:.3f}", f"chance {one.chance[depth]:.3f}") for depth, hit in _by_depth(one)),
            Cell(f"{one.median_rank:g}", f"of {one.candidates}"),
        )
        for one in found.report_search
    ]
    depths = [f"among the first {depth}" for one in found.report_search[:1] for depth, _ in _by_depth(one)]
    return Table("From a recording to its own report", ("file", *depths, "median rank"), tuple(rows))


def _by_depth(one: ReportSearch) -> list[tuple[str, float]]:
    return sorted(one.recall.items(), key=lambda item: int(item[0]))


def fidelity_tables(found: Fidelity) -> tuple[Table, ...]:
    """All of them that have rows."""
    tables = (geometry_table(found), search_table(found), layer_table(found))
    return tuple(table for table in tables if table.rows)


def layer_table(found: Fidelity) -> Table:
    """Every layer in both graphs, and what it gives back if it alone stays float."""
    effects = {effect.layer: effect for effect in found.float_effects}
    (first, pte), *others = found.layers.items()
    rows = []
    for index, layer in enumerate(pte):
        others_db = tuple(Cell(_decibels(rows_of[index].sqnr_db)) for _, rows_of in others)
        rows.append((*_layer(layer), *others_db, *_effect(effects.get(layer.layer))))
    header = (
        *("layer", "kind", "scale", "alone dB", f"{first} dB", "cosine", "saturated", "weight scales"),
        *(f"{name} dB" for name, _ in others),
        *("AUROC if float", "error gone if float"),
    )
    return Table(f"Layers on {found.clips} validation clips", header, tuple(rows), labels=2)


def _layer(layer: LayerFidelity) -> tuple[Cell, ...]:
    return (
        *cells(layer.layer, layer.kind, ABSENT if layer.scale is None else f"{layer.scale:.4g}"),
        *cells(_decibels(layer.alone_db), _decibels(layer.sqnr_db)),
        Cell(ABSENT if layer.cosine is None else f"{layer.cosine:.4f}"),
        Cell(f"{layer.saturated:.2%}"),
        Cell(_octaves(layer)),
    )


def _octaves(layer: LayerFidelity) -> str:
    """Channels by octave of their scale, the largest first, to the last octave that has any."""
    if layer.weight_scales is None:
        return ABSENT
    counts = list(layer.weight_scales.octaves)
    while counts[-1] == 0:
        counts.pop()
    return " ".join(map(str, counts))


def _effect(effect: FloatEffect | None) -> tuple[Cell, ...]:
    if effect is None:
        return cells(ABSENT, ABSENT)
    auroc = ABSENT if effect.auroc is None else f"{effect.auroc:+.4f}"
    return cells(auroc, f"{effect.error:.1%}")


def _decibels(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.1f}"
