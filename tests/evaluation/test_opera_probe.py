"""OPERA's probe against a plain training loop of torch's own parts, one seed at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import ClassRule, Task
from acula_edge.evaluation.opera_probe import fit
from acula_edge.teacher.probe import Embedded

DIM = 6


def _task(dataset: str, classes: str) -> Task:
    return Task(name="t", dataset=dataset, classes=tuple(ClassRule(name=n, values=(n,)) for n in classes))


def _embedded(labels: Sequence[int], seed: int, scale: float = 3.0) -> Embedded:
    """Embeddings that tell a little of the label; the last feature is 0, and only its L2 moves its weight."""
    noise = np.random.default_rng(seed).normal(size=(len(labels), DIM))
    noise[:, 0] += np.array(labels)
    noise[:, -1] = 0
    rows = [
        Recording(f"r{i}", "", "d", "", f"r{i}", Split.TRAIN, 4000, 0, 1, "", labels={"t": int(label)})
        for i, label in enumerate(labels)
    ]
    return Embedded(rows, (scale * noise).astype(np.float32))


def _labels(n: int, classes: int, seed: int) -> list[int]:
    return [int(label) for label in np.random.default_rng(seed).integers(0, classes, size=n)]


def _auroc(truth: NDArray[np.int64], logits: torch.Tensor) -> float:
    found = logits.double().softmax(1).numpy()
    if found.shape[1] == 2:
        return float(roc_auc_score(truth, logits[:, 1] - logits[:, 0]))
    return float(roc_auc_score(truth, found, multi_class="ovr"))


def _plain_loop(
    task: Task, train: Embedded, val: Embedded, seed: int, batch: int, epochs: int, every: int
) -> nn.Linear:
    x, y = (torch.from_numpy(part) for part in train.of_task(task))
    held_out, truth = val.of_task(task)
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(x.shape[1], len(task.classes))
    nn.init.normal_(layer.weight, 0.0, 0.01, generator=generator)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-4)
    best, kept = -1.0, {}
    for epoch in range(1, epochs + 1):
        for rows in torch.split(torch.randperm(len(y), generator=generator), batch):
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(layer(x[rows]), y[rows])
            for parameter in layer.parameters():
                loss = loss + 1e-5 * parameter.pow(2).sum()
            loss.backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.97
        with torch.no_grad():
            score = _auroc(truth, layer(torch.from_numpy(held_out)))
        if epoch % every == 0 and score > best:
            best, kept = score, {name: value.clone() for name, value in layer.state_dict().items()}
    layer.load_state_dict(kept)
    return layer


@pytest.mark.parametrize(
    ("dataset", "classes", "n", "batch", "epochs", "every"),
    [
        ("d", "ab", 199, 32, 64, 1),
        ("d", "ab", 200, 64, 64, 1),
        ("d", "abc", 230, 64, 64, 1),
        ("kauh", "ab", 90, 32, 50, 5),
    ],
)
def test_each_seed_is_what_a_plain_loop_gives(
    dataset: str, classes: str, n: int, batch: int, epochs: int, every: int
) -> None:
    task = _task(dataset, classes)
    train = _embedded(_labels(n, len(classes), seed=1), seed=2)
    val = _embedded(_labels(60, len(classes), seed=3), seed=4)
    found = fit(task, train, val, seeds=2)
    assert len(found) == 2
    for seed, (weight, bias) in enumerate(found):
        layer = _plain_loop(task, train, val, seed, batch, epochs, every)
        expected = np.c_[layer.weight.detach().numpy(), layer.bias.detach().numpy()]
        if task.n_logits == 1:
            expected = expected[1:] - expected[:1]
        assert weight.shape == (task.n_logits, DIM)
        assert bias.shape == (task.n_logits,)
        assert np.abs(np.c_[weight, bias] - expected).max() < 2e-5


def test_a_seed_does_not_depend_on_how_many_there_are() -> None:
    task = _task("d", "ab")
    train, val = _embedded(_labels(70, 2, 1), 2), _embedded(_labels(40, 2, 3), 4)
    few, many = fit(task, train, val, seeds=2), fit(task, train, val, seeds=4)
    assert np.abs(few[1][0] - many[1][0]).max() < 2e-6
    assert np.abs(many[1][0] - many[2][0]).max() > 1e-3


def test_without_a_class_in_val_the_last_epoch_is_kept() -> None:
    task = _task("d", "ab")
    train = _embedded(_labels(70, 2, 1), 2)
    lone = fit(task, train, _embedded([1] * 30, 4), seeds=1)[0]
    none = fit(task, train, _embedded([], 4), seeds=1)[0]
    with torch.no_grad():
        score_last = _last_epoch(task, train)
    for weight, bias in (lone, none):
        assert np.abs(np.append(weight[0], bias) - score_last).max() < 2e-5


def _last_epoch(task: Task, train: Embedded) -> NDArray[np.float32]:
    """The 64th epoch of the plain loop, whose validation is asked once, at the end."""
    with torch.enable_grad():
        layer = _plain_loop(task, train, _embedded(_labels(30, 2, 5), 6), 0, 32, 64, 64)
    joined = np.c_[layer.weight.detach().numpy(), layer.bias.detach().numpy()]
    return np.asarray(joined[1] - joined[0], dtype=np.float32)


def test_the_gradient_is_clipped_at_a_norm_of_1_for_each_seed() -> None:
    """Large embeddings: without clipping Adam's first steps differ, as its epsilon then weighs less."""
    task = _task("d", "ab")
    train, val = _embedded(_labels(40, 2, 1), 2, scale=500.0), _embedded(_labels(40, 2, 3), 4, scale=500.0)
    layer = _plain_loop(task, train, val, 0, 32, 64, 1)
    joined = np.c_[layer.weight.detach().numpy(), layer.bias.detach().numpy()]
    weight, bias = fit(task, train, val, seeds=3)[0]
    assert np.abs(np.append(weight[0], bias) - (joined[1] - joined[0])).max() < 5e-5
