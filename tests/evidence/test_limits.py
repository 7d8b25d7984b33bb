"""What a reader has to know is said exactly where it applies."""

from __future__ import annotations

from acula_edge.evidence.limits import limitations
from acula_edge.evidence.results import Accuracy, Estimate, SystemAccuracy
from acula_edge.evidence.sections import accuracy_table

SURE = Estimate(value=0.8, low=0.7, high=0.9, degenerate=0)
LONELY = Estimate(value=0.9, low=None, high=None, degenerate=0)
ABSENT = Estimate(value=None, low=None, high=None, degenerate=100)


def scored(**tasks: Estimate) -> Accuracy:
    system = SystemAccuracy(system="base", title="Base", ran_in="PyTorch", tasks=tasks, mean=SURE)
    return Accuracy(resamples=100, seed=0, cohorts=(), systems=(system,), differences=())


def test_a_task_of_one_patient_is_named_and_not_counted_in_the_mean() -> None:
    accuracy = scored(murmur=SURE, wheeze=SURE, valve=LONELY, cough=ABSENT)
    assert "Too few patients for an interval, and so not in the mean: valve." in limitations(accuracy, False)
    assert accuracy_table(accuracy).rows[-1][0].detail == "2 tasks"


def test_where_no_task_has_an_interval_all_are_in_the_mean() -> None:
    accuracy = scored(valve=LONELY, murmur=LONELY, cough=ABSENT)
    assert not any("not in the mean" in sentence for sentence in limitations(accuracy, False))
    assert accuracy_table(accuracy).rows[-1][0].detail == "2 tasks"
