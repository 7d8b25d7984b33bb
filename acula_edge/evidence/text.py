"""Text: how numbers look in reports and on the terminal."""

from __future__ import annotations

from acula_edge.evidence.results import Estimate

ABSENT = "n/a"
SIMULATED = "SIMULATED DATA, no patients: "


def number(estimate: Estimate) -> str:
    """An AUROC: 0.812."""
    return ABSENT if estimate.value is None else f"{estimate.value:.3f}"


def interval(estimate: Estimate, sign: str = "") -> str:
    """95 % interval: 0.771 to 0.850; empty where there is none. `sign` "+" shows the sign."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:{sign}.3f} to {estimate.high:{sign}.3f}"


def signed(estimate: Estimate) -> str:
    """A difference of two AUROCs: +0.022."""
    return ABSENT if estimate.value is None else f"{estimate.value:+.3f}"


def difference(estimate: Estimate) -> str:
    """A difference with its interval, in a sentence."""
    found = interval(estimate, "+")
    return f"{signed(estimate)} (95 % interval {found})" if found else f"{signed(estimate)} (no interval)"


def compared(gain: Estimate) -> str:
    """What the interval of a difference shows, as a verb: beats, is worse than, does not clearly beat."""
    if gain.low is not None and gain.low > 0:
        return "beats"
    if gain.high is not None and gain.high < 0:
        return "is worse than"
    return "does not clearly beat"


def mebibytes(n_bytes: int) -> str:
    """12.3."""
    return f"{n_bytes / 2**20:.1f}"


def kibibytes(n_bytes: int) -> str:
    """123."""
    return f"{n_bytes / 2**10:.0f}"
