"""Verdict: the report's first sentence: does alignment beat the base encoder and every control?"""

from __future__ import annotations

from collections.abc import Sequence

from acula_edge.data.recording import Split
from acula_edge.encoders.teacher_model import Variant
from acula_edge.evaluation.contest import TITLES
from acula_edge.evidence.results import Accuracy, Difference
from acula_edge.evidence.text import SIMULATED, compared, difference, number

_PATIENTS = {Split.TRAIN: "training", Split.VAL: "validation", Split.TEST: "test"}


def verdict(
    opera: Accuracy, closed_form: Accuracy, zero_shot: Accuracy | None, split: Split, simulated: bool
) -> str:
    """Decided by the paired intervals of OPERA's probe; closed-form probe and zero-shot stand beside it."""
    sentences = [_sentence(opera, closed_form, split), _understanding(zero_shot)]
    return (SIMULATED if simulated else "") + " ".join(filter(None, sentences))


def _sentence(opera: Accuracy, closed_form: Accuracy, split: Split) -> str:
    against = [found for found in opera.differences if found.system == Variant.ALIGNED]
    base = next((found for found in against if found.against == Variant.BASE), None)
    if base is None or base.mean.value is None:
        return "The aligned encoder was not compared with its base encoder."
    controls = [found for found in against if found is not base]
    where = f"in mean AUROC on the {_PATIENTS[split]} patients ({_means(opera)}; OPERA's linear probe)"
    parts = [f"{_claim(base, controls)} {where}", f"aligned minus base {difference(base.mean)}"]
    other = closed_form.difference(Variant.ALIGNED, Variant.BASE)
    if other is not None:
        parts.append(f"by the closed-form probe {difference(other.mean)}")
    return "; ".join(parts) + f". {_meaning(base, controls)}"


def _understanding(zero_shot: Accuracy | None) -> str:
    """Without labels, only a report's meaning can tell: a space of shuffled reports is at chance."""
    gain = zero_shot.difference(Variant.ALIGNED, Variant.SHUFFLED) if zero_shot else None
    if zero_shot is None or gain is None or gain.mean.value is None:
        return ""
    means = {system.system: number(system.mean) for system in zero_shot.systems}
    shown = "shows" if _beaten(gain) else "does not show"
    return (
        f"Zero-shot, without a label, {shown} that the shared space holds their meaning: "
        f"{means[Variant.ALIGNED]} against {means[Variant.SHUFFLED]} of shuffled reports, "
        f"{difference(gain.mean)}."
    )


def _claim(base: Difference, controls: Sequence[Difference]) -> str:
    first = f"Alignment with reports {compared(base.mean)} the base encoder"
    unbeaten = [found for found in controls if not _beaten(found)]
    if unbeaten:
        return f"{first}{' but' if _beaten(base) else ', and it'} does not clearly beat {_listed(unbeaten)}"
    return f"{first}{' and' if _beaten(base) else ', though it beats'} every control" if controls else first


def _meaning(base: Difference, controls: Sequence[Difference]) -> str:
    if not controls:
        return "There was no control: it is not known what the reports' meaning does."
    if all(map(_beaten, (base, *controls))):
        return "The reports' meaning helps the probes."
    return "It is not shown that the reports' meaning helps the probes."


def _listed(found: Sequence[Difference]) -> str:
    names = [f"the {TITLES[one.against]}" for one in found]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _means(accuracy: Accuracy) -> str:
    means = {system.system: system.mean for system in accuracy.systems}
    return f"{number(means[Variant.ALIGNED])} against {number(means[Variant.BASE])}"


def _beaten(found: Difference) -> bool:
    return found.mean.low is not None and found.mean.low > 0
