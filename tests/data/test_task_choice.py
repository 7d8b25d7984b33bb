"""Which tasks a folder is asked, and which it can not answer."""

from __future__ import annotations

import pytest

from acula_edge.data.folder import SourceRow
from acula_edge.data.recording import Recording, Split
from acula_edge.data.task_choice import refuse_untrainable, resolve_tasks
from acula_edge.data.tasks import ClassRule, Metric, Task
from acula_edge.errors import DataError, UsageError


def rows(dataset: str, labels: list[str], **fields: str) -> list[SourceRow]:
    return [
        SourceRow(i + 2, f"{dataset}{i}.wav", dataset, str(i), f"{dataset}{i}", label, "", dict(fields))
        for i, label in enumerate(labels)
    ]


def task(name: str = "mine", dataset: str = "ward") -> Task:
    classes = (ClassRule(name="no", values=("a",)), ClassRule(name="yes", values=("b",)))
    return Task(name=name, dataset=dataset, classes=classes)


def test_known_data_sets_get_their_tasks() -> None:
    folder = rows("pascal_hs", ["normal", "murmur"]) + rows("icbhi_mini", ["normal", "both"])
    found = resolve_tasks(folder, ())
    assert [task.name for task in found] == ["pascal_murmur"]


def test_a_known_set_without_the_field_of_a_task_is_not_asked_it() -> None:
    assert [task.name for task in resolve_tasks(rows("bmd_hs", ["N", "AS"]), ())] == ["bmd_valve"]


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["wheeze", "normal", "wheeze"], ["normal", "wheeze"]),
        (["1", "0"], ["0", "1"]),
        (["asthma", "Healthy"], ["Healthy", "asthma"]),
        (["copd", "asthma", "healthy", ""], ["healthy", "asthma", "copd"]),
    ],
)
def test_an_unknown_set_gets_a_task_over_its_labels(labels: list[str], order: list[str]) -> None:
    (found,) = resolve_tasks(rows("ward", labels), ())
    assert found.name == "ward_label"
    assert [rule.name for rule in found.classes] == order
    assert found.metric is (Metric.AUROC if len(order) == 2 else Metric.MACRO_AUROC)
    assert [found.label_of("ward", {"label": name}) for name in order] == list(range(len(order)))


def test_an_unlabelled_set_has_no_task() -> None:
    folder = rows("ward", ["", ""]) + rows("pascal_hs", ["normal", "murmur"])
    assert [task.dataset for task in resolve_tasks(folder, ())] == ["pascal_hs"]


def test_a_given_task_takes_the_place_of_the_derived_one() -> None:
    assert resolve_tasks(rows("ward", ["a", "b", "c"]), (task(),)) == (task(),)


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"task ward_label: .*'ill' only in the column label"):
        resolve_tasks(rows("ward", ["ill", "ill"]), ())
    with pytest.raises(DataError, match=r"task pascal_murmur: .*'normal' only"):
        resolve_tasks(rows("pascal_hs", ["normal", "artifact"]), ())
    with pytest.raises(DataError, match=r"task mine: .*none of its classes"):
        resolve_tasks(rows("ward", ["x", "y"]), (task(),))


def test_too_many_labels_are_refused() -> None:
    with pytest.raises(DataError, match="21 different values"):
        resolve_tasks(rows("ward", [str(i) for i in range(21)]), ())


def test_given_tasks_must_fit() -> None:
    with pytest.raises(UsageError, match="mine is given twice"):
        resolve_tasks(rows("ward", ["a", "b"]), (task(), task()))
    with pytest.raises(UsageError, match="pascal_murmur is given twice"):
        resolve_tasks(rows("pascal_hs", ["normal", "murmur"]), (task("pascal_murmur", "pascal_hs"),))
    with pytest.raises(DataError, match="holds no data set home, it holds ward"):
        resolve_tasks(rows("ward", ["a", "b"]), (task(dataset="home"),))


def test_a_class_that_train_lacks_is_refused() -> None:
    def recording(split: Split, label: int) -> Recording:
        return Recording("i", "p", "ward", "", "g", split, 4000, 0, 1, "", labels={"mine": label})

    whole = [recording(Split.TRAIN, 0), recording(Split.TRAIN, 1), recording(Split.TEST, 1)]
    refuse_untrainable([task()], whole)
    with pytest.raises(DataError, match="task mine: class 'yes' is in test and not in train"):
        refuse_untrainable([task()], [whole[0], whole[2]])
