"""The simulator: seeded, labelled, and its sounds have the timing and the bands that it claims."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acula_edge.contract import AudioContract
from acula_edge.data.audio import read_audio
from acula_edge.data.folder import folder_digest, read_folder
from acula_edge.data.metrics import auroc
from acula_edge.data.shortcuts import cramers_v, folds_of
from acula_edge.data.simulated_chain import N_SAMPLES, RATE_HZ, ChestPiece, add_at, noise_band, record, shape
from acula_edge.data.simulated_cough import OtherSound, cough_sound, other_sound
from acula_edge.data.simulated_heart import Heart, Murmur, heart_sound
from acula_edge.data.simulated_lung import crackle, draw_lung, lung_sound
from acula_edge.data.simulator import SIMULATED_DATASETS, simulate
from acula_edge.data.tasks import KNOWN_TASKS
from acula_edge.frontend import unnormalised_log_mel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated")
    simulate(root, 120, seed=0)
    return root


def heart(murmur: Murmur | None = None, beats_per_minute: float = 60.0) -> Heart:
    return Heart(
        beats_per_minute=beats_per_minute,
        breaths_per_minute=15,
        arrhythmia=0.0,
        s1_hz=35,
        s2_hz=60,
        s2_level=0.8,
        murmur=murmur,
        murmur_level=0.3,
    )


def power_in(sound: np.ndarray, low_hz: float, high_hz: float) -> float:
    frequency_hz, power = scipy.signal.welch(sound, RATE_HZ, nperseg=2048)
    return float(power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum() / power.sum())


def test_the_folder_is_whole(folder: Path) -> None:
    rows = read_folder(folder).rows
    assert len(rows) == 240
    assert tuple(dict.fromkeys(row.dataset for row in rows)) == SIMULATED_DATASETS
    assert set(Counter(row.patient for row in rows).values()) == {2}
    for row in rows[::20]:
        samples, rate_hz = read_audio(folder / row.path)
        assert (samples.size, rate_hz) == (N_SAMPLES, RATE_HZ)
        assert 0.01 < np.abs(samples).max() < 1


def test_the_seed_decides(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        (tmp_path / name).mkdir()
        simulate(tmp_path / name, 12, seed)
        digests.append(folder_digest(tmp_path / name))
    assert digests[0] == digests[1] != digests[2]


def test_every_class_is_there_and_the_chest_piece_does_not_tell_it(folder: Path) -> None:
    for task in (task for task in KNOWN_TASKS if task.dataset in SIMULATED_DATASETS):
        rows = [row for row in read_folder(folder).rows if row.dataset == task.dataset]
        labels = [task.label_of(row.dataset, row.values) for row in rows]
        assert None not in labels
        assert min(Counter(labels).values()) >= 0.3 * len(rows)
        assert cramers_v([row.fields["device"] for row in rows], [row.label for row in rows]) < 0.2


def test_the_tasks_can_be_learned_and_are_not_trivial(folder: Path) -> None:
    contract = AudioContract()
    for task in (task for task in KNOWN_TASKS if task.dataset in SIMULATED_DATASETS):
        rows = [row for row in read_folder(folder).rows if row.dataset == task.dataset]
        pcm = [(read_audio(folder / row.path)[0] * 32768).astype(np.int16) for row in rows]
        mel = unnormalised_log_mel(np.stack(pcm), contract)
        features = np.concatenate([mel.mean(axis=-1), mel.std(axis=-1)], axis=1)
        positive = np.array([task.label_of(row.dataset, row.values) == 1 for row in rows])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        folds = PredefinedSplit(folds_of([row.patient for row in rows]))
        scores = cross_val_predict(model, features, positive, cv=folds, method="decision_function")
        assert 0.65 < auroc(scores, positive) < 0.97


def test_systole_is_shorter_than_diastole_and_as_long_as_weissler_says() -> None:
    rng = np.random.default_rng(0)
    sound = heart_sound(heart(), rng)
    envelope = np.abs(scipy.signal.hilbert(shape(sound, 20, 200)))
    smooth = scipy.signal.filtfilt(*scipy.signal.butter(2, 12, fs=RATE_HZ), envelope)
    peaks, _ = scipy.signal.find_peaks(smooth, height=0.25 * smooth.max(), distance=RATE_HZ // 6)
    gaps = np.diff(peaks) / RATE_HZ
    systoles, diastoles = gaps[gaps < 0.5], gaps[gaps >= 0.5]
    assert len(systoles) >= 6
    # 0.546 - 0.0021 * 60 - 0.06 = 0.36 s from S1 to S2 at 60 beats a minute; diastole is the rest
    assert np.median(systoles) == pytest.approx(0.36, abs=0.04)
    assert np.median(diastoles) == pytest.approx(0.64, abs=0.06)


@pytest.mark.parametrize("murmur", list(Murmur))
def test_a_murmur_fills_systole_and_not_diastole(murmur: Murmur) -> None:
    with_murmur = heart_sound(heart(murmur), np.random.default_rng(1))
    without = heart_sound(heart(), np.random.default_rng(1))
    assert power_in(with_murmur, 150, 600) > 3 * power_in(without, 150, 600)
    high = np.abs(shape(with_murmur, 200, 500, order=4))
    loud = scipy.signal.filtfilt(*scipy.signal.butter(2, 10, fs=RATE_HZ), high)
    assert 0.1 < np.mean(loud > 0.3 * loud.max()) < 0.5


@pytest.mark.parametrize("seconds", [0.005, 0.015])
def test_a_crackle_has_two_cycles_in_its_duration(seconds: float) -> None:
    wave = crackle(seconds)
    assert wave.size == round(seconds * RATE_HZ)
    inside = wave[np.abs(wave) > 0.01]
    assert 3 <= np.count_nonzero(np.diff(np.sign(inside))) <= 4
    assert np.abs(wave).max() == pytest.approx(1)


def test_wheezes_are_narrow_and_crackles_are_sharp() -> None:
    lung = draw_lung(np.random.default_rng(5))
    sounds = {
        label: lung_sound(lung, label, np.random.default_rng(6)) for label in ("normal", "wheeze", "crackle")
    }
    above = {label: shape(sound, 150, 1000, order=4) for label, sound in sounds.items()}
    kurtosis = {label: float(np.mean(x**4) / np.mean(x**2) ** 2) for label, x in above.items()}
    assert kurtosis["crackle"] > 2 * kurtosis["normal"]
    peak = {}
    for label, sound in above.items():
        _, _, spectrogram = scipy.signal.stft(sound, RATE_HZ, nperseg=512)
        power = np.abs(spectrogram) ** 2
        peak[label] = float(np.max(power.max(axis=0) / (power.mean(axis=0) + power.mean())))
    assert peak["wheeze"] > 2 * peak["normal"]


def test_a_cough_bursts_and_other_sounds_stay_finite() -> None:
    cough = cough_sound(np.random.default_rng(0))
    loud = np.abs(cough) > 0.3 * np.abs(cough).max()
    assert 0.001 < loud.mean() < 0.25
    for kind in OtherSound:
        assert np.isfinite(other_sound(kind, np.random.default_rng(0))).all()


def test_the_chest_pieces_pass_their_bands() -> None:
    white = noise_band(N_SAMPLES, 1, 2000, np.random.default_rng(0))
    share = {piece: power_in(record(white, piece, np.random.default_rng(1)), 20, 200) for piece in ChestPiece}
    assert share[ChestPiece.BELL] > share[ChestPiece.DIAPHRAGM]
    assert share[ChestPiece.BELL] > share[ChestPiece.EXTENDED]


def test_a_sound_outside_of_the_track_is_lost() -> None:
    track = np.zeros(10, dtype=np.float32)
    one = np.ones(4, dtype=np.float32)
    for start in (-2, 8, 100, -100):
        add_at(track, start / RATE_HZ, one)
    assert track.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]
