"""Task: what is asked of a recording: data set, label rule, classes and metric."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Metric(StrEnum):
    """How a task is scored."""

    AUROC = "auroc"
    MACRO_AUROC = "macro_auroc"  # one class against the rest, averaged over the classes present


class Match(StrEnum):
    """How a rule compares the metadata field with its values."""

    EXACT = "exact"
    CONTAINS = "contains"  # any part of a compound label such as "Asthma + Lung Fibrosis"
    REST = "rest"  # every value that no other class takes


class ClassRule(BaseModel):
    """One class: its name for people, and the field values that put a recording into it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    values: tuple[str, ...]
    match: Match = Match.EXACT

    def takes(self, value: str) -> bool:
        """Whether the field value belongs to this class."""
        if self.match is Match.EXACT:
            return value in self.values
        if self.match is Match.REST:
            return value != ""
        return not set(self.values).isdisjoint(part.strip() for part in value.split("+"))


class Task(BaseModel):
    """A classification task on one data set.

    Two classes make a binary task with one logit (the second class is the positive one); more make a
    multiclass task with one logit each. A recording that no class takes is not part of the task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dataset: str
    field: str = "label"
    classes: tuple[ClassRule, ...]

    @property
    def n_logits(self) -> int:
        """1 for a binary task, else the number of classes."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def metric(self) -> Metric:
        """AUROC for a binary task, macro AUROC for more classes."""
        return Metric.AUROC if len(self.classes) == 2 else Metric.MACRO_AUROC

    def label_of(self, dataset: str, row: Mapping[str, str]) -> int | None:
        """Class index of a metadata row; None if the row is not part of the task."""
        if dataset != self.dataset:
            return None
        value = row.get(self.field, "").strip()
        by_precision = sorted(enumerate(self.classes), key=lambda item: item[1].match is Match.REST)
        return next((i for i, rule in by_precision if rule.takes(value)), None)


def _binary(name: str, dataset: str, negative: ClassRule, positive: ClassRule, field: str = "label") -> Task:
    return Task(name=name, dataset=dataset, field=field, classes=(negative, positive))


def _valve(code: str, name: str) -> Task:
    absent = ClassRule(name=f"no {name}", values=("0",))
    return _binary(
        f"bmd_{code.lower()}", "bmd_hs", absent, ClassRule(name=name, values=("1",)), f"bmd_{code}"
    )


KNOWN_TASKS: tuple[Task, ...] = (
    _binary(
        "spr_adventitious",
        "sprsound",
        ClassRule(name="normal", values=("Normal",)),
        ClassRule(name="adventitious", values=("DAS", "CAS", "CAS & DAS")),
    ),
    Task(
        name="spr_type",
        dataset="sprsound",
        classes=tuple(ClassRule(name=v, values=(v,)) for v in ("Normal", "CAS", "DAS", "CAS & DAS")),
    ),
    _binary(
        "kauh_obstructive",
        "kauh",
        ClassRule(name="normal", values=("Normal",)),
        ClassRule(name="obstructive", values=("Asthma", "COPD"), match=Match.CONTAINS),
    ),
    _binary(
        "kauh_hf",
        "kauh",
        ClassRule(name="normal", values=("Normal",)),
        ClassRule(name="heart failure", values=("Heart Failure",), match=Match.CONTAINS),
    ),
    _binary(
        "bmd_valve",
        "bmd_hs",
        ClassRule(name="no valve disease", values=("N",)),
        ClassRule(name="valve disease", values=("AS", "AR", "MR", "MS", "MD")),
    ),
    _valve("AS", "aortic stenosis"),
    _valve("AR", "aortic regurgitation"),
    _valve("MR", "mitral regurgitation"),
    _valve("MS", "mitral stenosis"),
    _binary(
        "pascal_murmur",
        "pascal_hs",
        ClassRule(name="normal", values=("normal",)),
        ClassRule(name="murmur", values=("murmur",)),
    ),
    _binary(
        "p2016_abnormal",
        "physionet2016",
        ClassRule(name="normal", values=("normal",)),
        ClassRule(name="abnormal", values=("abnormal",)),
    ),
    _binary(
        "cough",
        "esc50_cough",
        ClassRule(name="other sound", values=(), match=Match.REST),
        ClassRule(name="coughing", values=("coughing",)),
    ),
    _binary(
        "sim_murmur",
        "simulated_heart",
        ClassRule(name="normal", values=("normal",)),
        ClassRule(name="murmur", values=("murmur",)),
    ),
    _binary(
        "sim_adventitious",
        "simulated_lung",
        ClassRule(name="normal", values=("normal",)),
        ClassRule(name="adventitious", values=("crackle", "wheeze", "both")),
    ),
    _binary(
        "sim_cough",
        "simulated_cough",
        ClassRule(name="other sound", values=(), match=Match.REST),
        ClassRule(name="cough", values=("cough",)),
    ),
)
