"""The Pareto front against its definition, and against Optuna's."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.pareto import pareto_front

POINT = st.tuples(*[st.integers(0, 4)] * 3)


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1, 2)], [0]),
        ([(1, 2), (2, 1), (2, 2)], [0, 1]),
        ([(1, 2), (1, 2), (1, 3)], [0, 1]),
        ([(3, 3), (2, 2), (1, 1)], [2]),
    ],
)
def test_known_fronts(points: list[tuple[int, int]], front: list[int]) -> None:
    assert pareto_front(points) == front


@given(st.lists(POINT, max_size=12))
def test_front_is_what_optuna_finds(points: list[tuple[int, ...]]) -> None:
    study = optuna.create_study(directions=["minimize"] * 3)
    study.add_trials(
        [optuna.trial.create_trial(values=[float(value) for value in point]) for point in points]
    )
    assert pareto_front(points) == sorted(trial.number for trial in study.best_trials)


@given(st.lists(POINT, min_size=1, max_size=12))
def test_every_point_off_the_front_is_beaten_by_one_on_it(points: list[tuple[int, ...]]) -> None:
    front = pareto_front(points)
    assert front
    for index, point in enumerate(points):
        beaten = any(
            all(its <= own for its, own in zip(points[other], point, strict=True)) and points[other] != point
            for other in front
        )
        assert beaten == (index not in front)
