"""BenchConfig: how evidence is gathered."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class BenchConfig(BaseModel):
    """`latency_runs` timed inferences after `warmup` untimed ones, for each of `threads`.

    Intervals come from `bootstrap_resamples` resamples of the patients.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_resamples: int = Field(default=1000, ge=100)
    latency_runs: PositiveInt = 100
    warmup: int = Field(default=10, ge=0)
    threads: tuple[PositiveInt, ...] = Field(default=(1, 2), min_length=1)
    seed: int = Field(default=0, ge=0)
