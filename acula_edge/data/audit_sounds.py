"""The part of the leak audit that looks at the sounds: copies, filters of one sound, and quality."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from acula_edge.data.findings import Finding, Scene
from acula_edge.data.fingerprint import near_duplicates
from acula_edge.data.takes import MAX_RATE_HZ, Take

_CLIPPED = 0.001  # share of the samples at full scale that can be heard as distortion
_EIGHT_BIT = frozenset({"PCM_U8", "PCM_S8", "ULAW", "ALAW"})
_LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"})
_NAMED = 5


def _identical(scene: Scene) -> Iterator[Finding]:
    copies: dict[str, list[Take]] = defaultdict(list)
    for take in scene.takes:
        copies[take.pcm_sha256].append(take)
    sets = [found for found in copies.values() if len(found) > 1]
    if not sets:
        return
    across = [found for found in sets if len({take.row.patient or take.row.id for take in found}) > 1]
    unlike = [found for found in sets if len({take.row.label for take in found} - {""}) > 1]
    yield (scene.warning if across or unlike else scene.info)(
        "identical_audio",
        f"{len(sets)} sounds stand in more than one file, {len(across)} of them under several patients, "
        f"{len(unlike)} with different labels; they are kept in one split",
        sounds=len(sets),
        across_patients=len(across),
        labels_differ=len(unlike),
        files=[[take.row.path for take in found] for found in sets[:_NAMED]],
    )


def _same_sound(scene: Scene) -> Iterator[Finding]:
    prints = [take.fingerprint for take in scene.takes]
    pairs = [(scene.recordings[i], scene.recordings[j]) for i, j in near_duplicates(prints)]
    inside = [pair for pair in pairs if pair[0].patient and pair[0].patient == pair[1].patient]
    outside = [pair for pair in pairs if not pair[0].patient or pair[0].patient != pair[1].patient]
    if inside:
        touched = {recording.path for pair in inside for recording in pair}
        yield scene.info(
            "same_sound",
            f"{len(touched)} of {len(scene.recordings)} recordings are copies or filtered forms of another "
            "one of the same patient; they are kept in one split and are not independent",
            recordings=len(touched),
            pairs=len(inside),
            files=[[a.path, b.path] for a, b in inside[:_NAMED]],
        )
    if outside:
        cut = sum(a.split is not b.split for a, b in outside)
        yield scene.warning(
            "same_sound",
            f"{len(outside)} pairs of recordings under different or unnamed patients sound like one "
            f"recording; {cut} of them are cut by a split",
            pairs=len(outside),
            across_splits=cut,
            files=[[a.path, b.path] for a, b in outside[:_NAMED]],
        )


def _formats(scene: Scene) -> Iterator[Finding]:
    counts = {
        "8-bit": sum(take.subtype in _EIGHT_BIT for take in scene.takes),
        "lossy (MP3 or OGG)": sum(take.subtype in _LOSSY for take in scene.takes),
        "of several channels, which were averaged": sum(take.channels > 1 for take in scene.takes),
        f"above {MAX_RATE_HZ} Hz, and were resampled to it": sum(
            take.source_rate_hz > MAX_RATE_HZ for take in scene.takes
        ),
    }
    for what, count in counts.items():
        if count:
            yield scene.info(
                "format",
                f"{count} of {len(scene.takes)} recordings are {what}",
                recordings=count,
                of=len(scene.takes),
            )


def _clipping(scene: Scene) -> Iterator[Finding]:
    clipped = [take for take in scene.takes if take.clipped_fraction > _CLIPPED]
    if clipped:
        yield scene.info(
            "clipping",
            f"{len(clipped)} of {len(scene.takes)} recordings are clipped: more than {_CLIPPED:.1%} of their "
            "samples are at full scale",
            recordings=len(clipped),
            of=len(scene.takes),
            worst_fraction=round(max(take.clipped_fraction for take in clipped), 4),
            labels=dict(Counter(take.row.label for take in clipped)),
        )


def _changed(scene: Scene) -> Iterator[Finding]:
    changed = [take for take in scene.takes if take.row.fields.get("sha256", take.sha256) != take.sha256]
    if changed:
        yield scene.warning(
            "changed",
            f"{len(changed)} files are not the ones that the column sha256 names",
            files=[take.row.path for take in changed[:_NAMED]],
            recordings=len(changed),
        )


SOUND_CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    _identical,
    _same_sound,
    _formats,
    _clipping,
    _changed,
)
