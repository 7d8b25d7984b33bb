"""Simulator: a recordings folder of made-up auscultation and cough, for a machine without recordings.

It lets the whole line run and be tested; it is no evidence for any patient. What a Dataset says of
itself, and every report made of it, is marked as simulated.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from acula_edge.data.audio import Floats, to_int16
from acula_edge.data.folder import METADATA
from acula_edge.data.simulated_chain import RATE_HZ, ChestPiece, record
from acula_edge.data.simulated_cough import OtherSound, cough_sound, other_sound
from acula_edge.data.simulated_heart import HEART_SITES, Murmur, draw_heart, heart_sound
from acula_edge.data.simulated_lung import LUNG_SITES, draw_lung, lung_sound

SIMULATED_DATASETS = ("simulated_heart", "simulated_lung", "simulated_cough")
RECORDINGS_PER_PATIENT = 2
_MURMURS = (None, Murmur.DIAMOND, None, Murmur.PLATEAU, None, Murmur.LATE)
_LUNGS = ("normal", "crackle", "normal", "wheeze", "normal", "both")
_DIAGNOSES = {
    None: "healthy heart",
    Murmur.DIAMOND: "aortic stenosis",
    Murmur.PLATEAU: "mitral regurgitation",
    Murmur.LATE: "mitral valve prolapse",
}
_AFFECTED_SITE = 0.85  # chance that a sick lung is heard at a site

Generator = np.random.Generator


@dataclass(frozen=True)
class Simulated:
    """One simulated recording before the sensor: samples (n,), and its metadata fields."""

    sound: Floats
    fields: dict[str, str]


def simulate(root: Path, n_patients: int, seed: int) -> None:
    """Write a folder of 16-bit 4 kHz WAV files of 8 s and its metadata.csv to `root`.

    A third of the patients goes to each of the three data sets, with two recordings each. The same
    arguments give the same bytes.
    """
    rows = [
        row
        for number, (dataset, patient_of) in enumerate(_DATASETS.items())
        for index in range(n_patients // len(_DATASETS))
        for row in _patient(root, dataset, index, np.random.default_rng([seed, number, index]), patient_of)
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (root / METADATA).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _patient(
    root: Path,
    dataset: str,
    index: int,
    rng: Generator,
    patient_of: Callable[[int, Generator], Iterator[Simulated]],
) -> Iterator[dict[str, str]]:
    (root / dataset).mkdir(parents=True, exist_ok=True)
    person = {"age": str(int(rng.integers(18, 85))), "sex": str(rng.choice(["F", "M"]))}
    # Every class is heard through every chest piece equally often, or the piece would tell the class.
    piece = list(ChestPiece)[index // len(_MURMURS) % len(ChestPiece)]
    for k, simulated in enumerate(patient_of(index, rng)):
        recording_id = f"{dataset}_{index:03d}_{k}"
        path = f"{dataset}/{recording_id}.wav"
        pcm = to_int16(record(simulated.sound, piece, rng))
        soundfile.write(root / path, pcm, RATE_HZ, subtype="PCM_16")
        yield {
            "path": path,
            "dataset": dataset,
            "recording_id": recording_id,
            "patient_id": f"{dataset}_{index:03d}",
            **person,
            "device": f"simulated {piece}",
            **simulated.fields,
        }


def _heart_patient(index: int, rng: Generator) -> Iterator[Simulated]:
    murmur = _MURMURS[index % len(_MURMURS)]
    heart = draw_heart(murmur, rng)
    for site in rng.choice(HEART_SITES, RECORDINGS_PER_PATIENT, replace=False):
        label = "murmur" if murmur else "normal"
        fields = {"label": label, "body_site": f"the {site} area", "diagnosis": _DIAGNOSES[murmur]}
        yield Simulated(heart_sound(heart, rng), fields)


def _lung_patient(index: int, rng: Generator) -> Iterator[Simulated]:
    sick = _LUNGS[index % len(_LUNGS)]
    lung = draw_lung(rng)
    for site in rng.choice(LUNG_SITES, RECORDINGS_PER_PATIENT, replace=False):
        label = sick if rng.random() < _AFFECTED_SITE else "normal"
        yield Simulated(lung_sound(lung, label, rng), {"label": label, "body_site": f"the {site} chest"})


def _cough_patient(index: int, rng: Generator) -> Iterator[Simulated]:
    others = list(OtherSound)
    other = others[index % len(others)]
    yield Simulated(cough_sound(rng), {"label": "cough"})
    yield Simulated(other_sound(other, rng), {"label": other})


_DATASETS: dict[str, Callable[[int, Generator], Iterator[Simulated]]] = {
    "simulated_heart": _heart_patient,
    "simulated_lung": _lung_patient,
    "simulated_cough": _cough_patient,
}
