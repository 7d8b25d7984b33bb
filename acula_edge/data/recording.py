"""Recording: one row of a recordings folder, typed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Split(StrEnum):
    """The three patient-disjoint parts of a data set; only bench opens TEST."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True)
class Recording:
    """One usable recording of a Dataset.

    `patient` is empty where the source does not name it. `group` is the unit that is never cut by a
    split (patient, source database, or the recording itself). `labels` holds, for each task that the
    recording takes part in, the class index. `reports` say the same in several ways, the plain one
    first; where nothing clinical is known there are none, and the recording serves self-supervision
    alone. `start` and `n_samples` locate its int16 samples in the split's audio file, at
    `sample_rate_hz`.
    """

    id: str
    path: str
    dataset: str
    patient: str
    group: str
    split: Split
    sample_rate_hz: int
    start: int
    n_samples: int
    sha256: str
    reports: tuple[str, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def report(self) -> str:
        """The plain report; empty if there is none."""
        return self.reports[0] if self.reports else ""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; `from_json` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Recording:
        """From the JSON object that `to_json` gave."""
        return cls(**{**row, "split": Split(row["split"]), "reports": tuple(row["reports"])})
