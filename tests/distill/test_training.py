"""Training of a student: which rows it sees, which terms it computes, and that a kill does not change it."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from acula_edge.data.recording import Split
from acula_edge.errors import ContractError, DataError
from acula_edge.students.store import save_student
from distill import losses
from distill.batches import Batches
from distill.config import DistillConfig, LossWeights, Precision
from distill.scoring import Scores
from distill.training import mean_score, train
from tests.distill import small
from tests.processes import fresh_process

EVERY_TERM = LossWeights(**dict.fromkeys(LossWeights.model_fields, 1.0))


def _with(**changes: object) -> DistillConfig:
    return small.CONFIG.model_copy(update=changes)


def test_an_epoch_has_each_clip_once_in_a_random_view() -> None:
    views = small.views(24, Split.TRAIN, 1, copies=3)
    views.embedding[:, 0] = np.arange(len(views))  # a row's name
    shuffled = np.random.default_rng(5).permutation(len(views))
    for field in ("features", "embedding", "logits", "aligned", "labels", "owner", "clip", "view"):
        array = getattr(views, field)
        array[:] = array[shuffled]
    batches = Batches(views, small.TASKS, small.texts(views.recordings), small.CONTRACT, small.CONFIG)
    centre, spread = views.embedding[:, 0].mean(), views.embedding[:, 0].std()
    seen = []
    for epoch in range(2):
        drawn = list(batches.draw(epoch, np.random.default_rng(epoch)))
        assert len(drawn) == len(batches) == 6
        names = torch.cat([batch.embedding[:, 0] for batch in drawn]).numpy() * spread + centre
        rows = names.round().astype(int)
        assert sorted(rows // 3) == list(range(48))  # all clips, those without a label too
        assert set(rows % 3) == {0, 1, 2}
        seen.append(rows)
    assert not np.array_equal(seen[0], seen[1])


@pytest.mark.parametrize(("clips", "steps"), [(12, 1), (40, 2), (144, 5), (320, 5), (480, 8)])
def test_few_clips_make_smaller_batches(clips: int, steps: int) -> None:
    views = small.views(clips // 2, Split.TRAIN, 1)
    config = _with(batch_size=64)
    batches = Batches(views, small.TASKS, small.texts(views.recordings), small.CONTRACT, config)
    sizes = [len(batch.features) for batch in batches.draw(0, np.random.default_rng(0))]
    assert len(sizes) == len(batches) == steps
    assert sum(sizes) == clips
    assert min(sizes) >= min(16, clips)


def test_rows_of_a_batch_belong_together() -> None:
    views = small.views(24, Split.TRAIN, 1, copies=2)
    texts = small.texts(views.recordings)
    batches = Batches(views, small.TASKS, texts, small.CONTRACT, small.CONFIG)
    batch = next(iter(batches.draw(0, np.random.default_rng(0))))
    embedding = batch.embedding.numpy() * views.embedding.std(0) + views.embedding.mean(0)
    for index, row in enumerate(embedding):
        found = int(np.abs(views.embedding - row).sum(axis=1).argmin())
        owner = views.owner[found]
        assert batch.logits[index].numpy() == pytest.approx(views.logits[found])
        assert batch.labels[index].tolist() == views.labels[found].tolist()
        assert batch.aligned[index].numpy() == pytest.approx(texts.space.reduce(views.aligned[[found]])[0])
        own = views.recordings[owner].dataset
        assert batch.domain[index].tolist() == [task.dataset == own for task in small.TASKS]
        assert int(batch.report[index]) == texts.own.get(views.recordings[owner].id, -1)
        assert batch.features[index].shape == (1, small.N_MELS, small.CONTRACT.n_frames)
    whole = torch.cat([part.embedding for part in batches.draw(0, np.random.default_rng(0))])
    assert float(whole.mean().abs()) < 0.2
    assert float(whole.std()) == pytest.approx(1.0, abs=0.1)


def test_contract_without_normalisation_is_refused() -> None:
    views = small.views(8, Split.TRAIN, 1)
    plain = small.CONTRACT.model_copy(update={"normalisation": None})
    with pytest.raises(ContractError, match="has no normalisation"):
        Batches(views, small.TASKS, small.texts(views.recordings), plain, small.CONFIG)


@pytest.mark.parametrize("term", LossWeights.model_fields)
def test_each_term_falls_when_it_is_trained(tmp_path: Path, term: str) -> None:
    seen: dict[str, list[float]] = {}
    small.trained(
        tmp_path / "c",
        _with(weights=LossWeights.only(**{term: 1.0}), epochs=10, learning_rate=1e-2),
        log=lambda name, value, _step: seen.setdefault(name, []).append(value),
    )
    assert set(seen) == {term, "rate", "validation"}
    assert np.mean(seen[term][-6:]) < 0.97 * np.mean(seen[term][:6])


def test_term_of_weight_zero_is_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: object) -> None:
        raise AssertionError

    for name in ("embedding_loss", "semantic_loss", "angle_loss", "logit_loss", "report_loss"):
        monkeypatch.setattr(losses, name, never)
    seen = set()
    config = _with(weights=LossWeights.only(labels=1.0), epochs=1)
    small.trained(tmp_path / "c", config, log=lambda name, _value, _step: seen.add(name))
    assert seen == {"labels", "rate", "validation"}


def test_weights_scale_their_terms(tmp_path: Path) -> None:
    seen: dict[float, list[float]] = {1.0: [], 3.0: []}
    for weight, values in seen.items():
        config = _with(weights=LossWeights.only(labels=weight), epochs=1)
        own = tmp_path / str(weight)
        small.trained(own, config, log=lambda n, v, _s, to=values: to.append(v) if n == "labels" else None)
    assert seen[3.0][0] == pytest.approx(3.0 * seen[1.0][0])


def test_no_term_at_all_and_unknown_terms_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least one term"):
        LossWeights.only()
    with pytest.raises(ValidationError, match="hints"):
        LossWeights.only(hints=1.0)


def test_student_learns_from_labels_alone_and_from_reports_alone(tmp_path: Path) -> None:
    labels = small.trained(
        tmp_path / "l", _with(weights=LossWeights.only(labels=1.0), epochs=20, learning_rate=1e-2)
    )
    assert min(labels.scores.heads.values()) > 0.9
    reports = small.trained(tmp_path / "r", _with(weights=LossWeights.only(reports=1.0), epochs=2))
    assert [record.score for record in reports.history] != []
    best = max(record.score for record in reports.history)
    assert np.mean(list(reports.scores.zero_shot.values())) == pytest.approx(best)


def test_validation_that_can_score_nothing_is_a_sentence() -> None:
    with pytest.raises(DataError, match="can score no task"):
        mean_score(small.CONFIG, Scores({}, {"two": 0.5}))


def test_the_average_of_the_best_epoch_is_kept(tmp_path: Path) -> None:
    """With decay 0 the average is the network itself; with 0.9 it is another one, and scored as such."""
    plain = small.trained(tmp_path / "p", _with(ema_decay=0.0))
    average = small.trained(tmp_path / "a", _with(ema_decay=0.9))
    weights = [next(found.student.parameters()) for found in (plain, average)]
    assert not torch.equal(*weights)
    assert not any(value.requires_grad for value in average.student.parameters())
    assert not average.student.training
    for found in (plain, average):
        best = max(record.score for record in found.history)
        assert mean_score(small.CONFIG, found.scores) == pytest.approx(best)


def test_training_ends_when_validation_does_not_rise(tmp_path: Path) -> None:
    found = small.trained(tmp_path / "c", _with(epochs=40, patience=2, learning_rate=1e-5))
    best = max(found.history, key=lambda record: record.score)
    assert len(found.history) < 40
    assert found.history[-1].epoch == best.epoch + 2


def test_bf16_computes_the_student_in_half_and_the_loss_in_full(tmp_path: Path) -> None:
    seen: dict[Precision, list[float]] = {precision: [] for precision in Precision}
    for precision, values in seen.items():
        small.trained(
            tmp_path / precision,
            _with(precision=precision, weights=EVERY_TERM, epochs=1, student=small.STILL),
            log=lambda name, value, _s, to=values: to.append(value) if name != "rate" else None,
        )
    full, half = (np.array(seen[precision]) for precision in (Precision.FP32, Precision.BF16))
    assert not np.array_equal(full, half)
    early = 2 * len(LossWeights.model_fields)  # later steps stand on other weights
    assert half[:early] == pytest.approx(full[:early], rel=0.1, abs=0.05)


def test_killed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Weights, statistics and their averages, after a SIGKILL in the middle of the second epoch."""
    script = (
        "import os, signal, sys; from pathlib import Path; import tests.distill.small as s\n"
        "from acula_edge.students.store import save_student\n"
        "at = int(sys.argv[2])\n"
        "def killed(name, value, step):\n"
        "    if step == at and name == 'rate': os.kill(os.getpid(), signal.SIGKILL)\n"
        "out = Path(sys.argv[1]); out.mkdir(exist_ok=True)\n"
        "save_student(out, s.trained(out / 'c.safetensors', log=killed).student)\n"
    )
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    assert fresh_process(script, cut, 9).returncode == -signal.SIGKILL
    assert (cut / "c.safetensors").is_file()
    for out in (cut, whole):
        done = fresh_process(script, out, -1)
        assert done.returncode == 0, done.stderr
    weights = [(out / "student.safetensors").read_bytes() for out in (cut, whole)]
    assert weights[0] == weights[1]


def test_another_seed_gives_another_student(tmp_path: Path) -> None:
    for seed in (0, 0, 1):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        save_student(out, small.trained(out / "c", _with(seed=seed)).student)
    first, again, other = ((tmp_path / name / "student.safetensors").read_bytes() for name in "012")
    assert first == again != other


def test_training_reads_neither_reports_nor_labels_of_validation(tmp_path: Path) -> None:
    """What is only on the validation side decides which epoch is kept, never a gradient."""
    own, val = small.views(24, Split.TRAIN, 1), small.views(16, Split.VAL, 2)
    texts, losses_of = small.texts(own.recordings), []
    for number, judged in enumerate((val, small.views(16, Split.VAL, 3))):
        found = train(small.CONFIG, small.TASKS, small.CONTRACT, own, judged, texts, tmp_path / str(number))
        losses_of.append([record.loss for record in found.history])
    assert losses_of[0] == losses_of[1]
