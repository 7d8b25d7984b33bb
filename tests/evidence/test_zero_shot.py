"""Zero-shot scores by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity

from acula_edge.data.tasks import ClassRule, Task
from acula_edge.evidence.zero_shot import scores


def _task(classes: str) -> Task:
    return Task(name="t", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in classes))


def test_several_classes_have_their_cosines_and_an_unknown_class_has_0() -> None:
    rng = np.random.default_rng(0)
    audio, prototypes = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(3, 5))
    prototypes[1] = 0
    found = scores(_task("abc"), audio, prototypes)
    assert np.abs(found - cosine_similarity(audio, prototypes)).max() < 1e-6
    assert (found[:, 1] == 0).all()


def test_of_two_classes_the_second_is_positive() -> None:
    audio, prototypes = np.array([[2.0, 0.0], [3.0, 4.0]]), np.array([[5.0, 0.0], [0.0, 1.0]])
    assert np.allclose(scores(_task("ab"), audio, prototypes), [[-1.0], [0.8 - 0.6]])
