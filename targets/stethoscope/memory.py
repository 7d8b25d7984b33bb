"""Memory: a fixed place in one arena for every value of a network, found before anything runs.

Values that live at the same time lie apart, except a layer's input and result, which may overlap as
`overlap` allows. Each value goes to the lowest place that fits; several orders are tried, and the smallest
arena wins.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from targets.stethoscope.hops import Hops
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.network import Network, Value, sources
from targets.stethoscope.overlap import Overlap

_ALIGNMENT = 4  # kernels load words of four numbers
_TRIALS = 400
_FRONT_END = -1  # the step before the first layer


@dataclass(frozen=True)
class Place:
    """A value in the arena; it lives from step `born` (the front end is -1) to step `last_read`."""

    value: Value
    offset: int
    born: int
    last_read: int

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.offset + self.value.size_bytes


@dataclass(frozen=True)
class MemoryPlan:
    """Places in the order of their birth, and for each layer whether it runs from its last pixel back."""

    places: tuple[Place, ...]
    backwards: tuple[bool, ...]
    arena_bytes: int
    least_bytes: int

    def offset(self, value: Value) -> int:
        """Where a value begins; with fewer rows than its place has it is the newest of them."""
        place = next(place for place in self.places if place.value.name == value.name)
        return place.end - value.size_bytes

    def scratch(self, step: int) -> int:
        """Where the buffer of a layer begins; 0 for a layer without one."""
        names = {place.value.name: place.offset for place in self.places}
        return names.get(_scratch_name(step), 0)

    def to_json(self) -> dict[str, Any]:
        """As `memory.json`."""
        return {
            "arena_bytes": self.arena_bytes,
            "least_possible_bytes": self.least_bytes,
            "values": [
                {
                    "name": place.value.name,
                    "shape": place.value.shape,
                    "offset": place.offset,
                    "bytes": place.value.size_bytes,
                    "born": place.born,
                    "last_read": place.last_read,
                }
                for place in self.places
            ],
        }


@dataclass(frozen=True)
class _Life:
    value: Value
    born: int
    last_read: int
    apart: bool = False  # shares no byte, not even with what it follows


def plan_memory(hops: Hops, kernels: Kernels) -> MemoryPlan:
    """A plan for the network of a hop; the same network and kernels give the same plan."""
    network = hops.network
    overlaps = [kernels.overlap(layer) for layer in network.layers]
    scratch = [kernels.scratch_bytes(layer) for layer in network.layers]
    values = _lives(hops)
    least = _least(values, overlaps, scratch)
    lives = [*values, *_scratch_lives(network, scratch)]
    best: list[int] = []
    best_bytes = 0
    for order in _orders(lives):
        offsets = _placed(lives, order, overlaps)
        size = _size(lives, offsets)
        if not best or size < best_bytes:
            best, best_bytes = offsets, size
        if best_bytes <= least:
            break
    places = tuple(
        Place(life.value, offset, life.born, life.last_read) for life, offset in zip(lives, best, strict=True)
    )
    return MemoryPlan(places, _directions(network, places), _aligned(best_bytes), least)


def _lives(hops: Hops) -> list[_Life]:
    """A value that the next hop needs a part of lives always, with its past before it."""
    network = hops.network
    last = {network.features.name: _FRONT_END}
    for step, layer in enumerate(network.layers):
        last |= {value.name: step for value in sources(layer)}
    last |= {value.name: len(network.layers) for value in (network.embedding, network.logits)}
    born = [(network.features, _FRONT_END), *((layer.result, i) for i, layer in enumerate(network.layers))]
    lives = []
    for value, step in born:
        past = hops.past.get(value.name, 0)
        joined = replace(value, shape=(past + value.shape[0], *value.shape[1:]))
        always = _Life(joined, _FRONT_END, len(network.layers))
        lives.append(always if past else _Life(value, step, last.get(value.name, step)))
    return lives


def _scratch_lives(network: Network, scratch: Sequence[int]) -> Iterator[_Life]:
    """The buffers, each for one step."""
    for step, (layer, size) in enumerate(zip(network.layers, scratch, strict=True)):
        if size:
            value = Value(_scratch_name(step), (1, 1, size), layer.source.grid)
            yield _Life(value, step, step, apart=True)


def _scratch_name(step: int) -> str:
    return f"scratch_{step}"


def _orders(lives: Sequence[_Life]) -> Iterator[list[int]]:
    """Largest first, oldest first, then the largest-first order with more and more pairs exchanged."""
    by_size = sorted(range(len(lives)), key=lambda index: -lives[index].value.size_bytes)
    yield by_size
    yield list(range(len(lives)))
    chance = random.Random(0)
    for _ in range(_TRIALS):
        order = by_size.copy()
        for _ in range(chance.randint(1, 4)):
            first, second = chance.sample(range(len(order)), 2)
            order[first], order[second] = order[second], order[first]
        yield order


def _placed(lives: Sequence[_Life], order: Sequence[int], overlaps: Sequence[Overlap]) -> list[int]:
    offsets = [-1] * len(lives)
    for index in order:
        taken = sorted(
            _forbidden(lives[index], lives[other], offset, overlaps)
            for other, offset in enumerate(offsets)
            if offset >= 0 and _together(lives[index], lives[other])
        )
        offset = 0
        moved = True
        while moved:
            moved = False
            for low, high in taken:
                if low < offset < high:
                    offset, moved = _aligned(high), True
        offsets[index] = offset
    return offsets


def _together(one: _Life, other: _Life) -> bool:
    return one.born <= other.last_read and other.born <= one.last_read


def _forbidden(life: _Life, other: _Life, offset: int, overlaps: Sequence[Overlap]) -> tuple[int, int]:
    """Open interval of offsets that `life` may not have while `other` lies at `offset`."""
    size, others = life.value.size_bytes, other.value.size_bytes
    if life.apart or other.apart:
        return offset - size, offset + others
    if other.born == life.last_read:  # `other` is the result of the last layer that reads `life`
        allowed = overlaps[other.born]
        return offset - min(allowed.above, size), offset + min(allowed.below, others)
    if life.born == other.last_read:
        allowed = overlaps[life.born]
        return offset - min(allowed.below, size), offset + min(allowed.above, others)
    return offset - size, offset + others


def _least(lives: Sequence[_Life], overlaps: Sequence[Overlap], scratch: Sequence[int]) -> int:
    """No plan can be smaller: what one layer needs, whatever stands elsewhere."""
    needs = [lives[0].value.size_bytes]
    for step, overlap in enumerate(overlaps):
        result = lives[step + 1].value.size_bytes
        others = (*lives[: step + 1], *lives[step + 2 :])
        alive = [life for life in others if life.born < step <= life.last_read]
        dying = [life.value.size_bytes for life in alive if life.last_read == step]
        waiting = scratch[step] + sum(life.value.size_bytes for life in alive if life.last_read > step)
        if len(dying) != 1:
            needs.append(waiting + max(result, sum(dying)))
            continue
        upwards = max(result, min(overlap.below, result) + dying[0])
        downwards = max(dying[0], min(overlap.above, dying[0]) + result)
        needs.append(waiting + min(upwards, downwards))
    return max(needs)


def _directions(network: Network, places: Sequence[Place]) -> tuple[bool, ...]:
    """A layer runs backwards where its result lies above its source, over a part of it."""
    at = {place.value.name: place for place in places}
    pairs = [(at[layer.source.name], at[layer.result.name]) for layer in network.layers]
    return tuple(source.offset < result.offset < source.end for source, result in pairs)


def _size(lives: Sequence[_Life], offsets: Sequence[int]) -> int:
    return max(offset + life.value.size_bytes for life, offset in zip(lives, offsets, strict=True))


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
