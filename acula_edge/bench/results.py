"""Results: what was timed, as the typed values behind latency.json and report.json."""

from __future__ import annotations

from acula_edge.evidence.results import Frozen


class Timing(Frozen):
    """One model, or the front end alone, on this host: every sample, and the memory it needed.

    `idle_bytes` is the peak resident memory of the fresh process after its imports, `peak_bytes` after
    the model was loaded and had run one clip.
    """

    part: str
    precision: str
    runtime: str
    file: str
    threads: int
    size_bytes: int
    idle_bytes: int
    peak_bytes: int
    median_ms: float
    p90_ms: float
    samples_ms: tuple[float, ...]

    @property
    def model_bytes(self) -> int:
        """Memory that the model and one inference added to the process."""
        return self.peak_bytes - self.idle_bytes


class Performance(Frozen):
    """latency.json: what was timed, where, with which versions, and what could not be."""

    device: str
    environment: dict[str, str]
    clip_seconds: float
    runs: int
    warmup: int
    timings: tuple[Timing, ...]
    not_measured: tuple[str, ...]
