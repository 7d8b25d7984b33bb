"""The audit's statistics against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from acula_edge.data.shortcuts import cramers_v, folds_of, probe_auroc, rate_rule_auroc

N = 400
rng = np.random.default_rng(0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=3, max_size=80))
def test_cramers_v_is_bergsmas(pairs: list[tuple[str, str]]) -> None:
    left, right = zip(*pairs, strict=True)
    value = cramers_v(left, right)
    table = scipy.stats.contingency.crosstab(left, right).count
    rows, columns = table.shape
    if min(rows, columns) < 2:
        assert value == 0
        return
    phi2 = scipy.stats.chi2_contingency(table, correction=False).statistic / table.sum()
    n = table.sum()
    corrected = max(0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    assert value == pytest.approx(np.sqrt(corrected / smaller) if smaller > 1e-12 else 0, abs=1e-9)


def test_cramers_v_of_the_same_and_of_chance() -> None:
    left = rng.choice(list("abc"), N)
    assert cramers_v(left, left) == pytest.approx(1)
    assert cramers_v(left, rng.choice(list("xyz"), N)) < 0.15


def test_rate_rule_is_the_auroc_of_the_share_of_positives() -> None:
    positive = rng.random(N) < 0.4
    values = np.where(rng.random(N) < 0.7, positive, rng.random(N) < 0.5).astype(str)
    rates = {value: positive[values == value].mean() for value in set(values)}
    expected = roc_auc_score(positive, [rates[value] for value in values])
    assert rate_rule_auroc(values, positive) == pytest.approx(expected)


def test_folds_keep_groups_whole() -> None:
    groups = [f"g{i}" for i in rng.integers(0, 40, N)]
    folds = folds_of(groups)
    assert all(len(set(folds[np.array(groups) == group])) == 1 for group in set(groups))
    assert set(folds) == set(range(5))


def test_probe_is_scikit_learns_ridge() -> None:
    positive = rng.random(N) < 0.3
    features = rng.standard_normal((N, 6)) + np.outer(positive, [0.8, 0, 0, 0.3, 0, 0])
    folds = rng.integers(0, 4, N)
    scores = []
    for fold in range(4):
        train = folds != fold
        scaler = StandardScaler().fit(features[train])
        weights = np.where(positive[train], 0.5 / positive[train].mean(), 0.5 / (1 - positive[train].mean()))
        ridge = Ridge(alpha=1.0).fit(scaler.transform(features[train]), 2.0 * positive[train] - 1, weights)
        scores.append(roc_auc_score(positive[~train], ridge.predict(scaler.transform(features[~train]))))
    assert probe_auroc(features, positive, folds) == pytest.approx(np.mean(scores), abs=1e-3)


def test_probe_leaves_out_folds_of_one_class() -> None:
    positive = np.array([True, False] * 20 + [True] * 10)
    folds = np.array([0] * 20 + [1] * 20 + [2] * 10)
    features = positive[:, None] + rng.normal(0, 0.01, (50, 1))
    assert probe_auroc(features, positive, folds) == pytest.approx(1)
    assert np.isnan(probe_auroc(features, positive, positive.astype(int)))
