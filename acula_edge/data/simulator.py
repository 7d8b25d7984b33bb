"""Simulator: auscultation sounds for a machine that has no recordings."""

from __future__ import annotations

from pathlib import Path

SIMULATED_DATASETS = ("simulated_heart", "simulated_lung", "simulated_cough")


def simulate(root: Path, n_patients: int, seed: int) -> None:
    """Write a simulated recordings folder to `root`."""
    raise NotImplementedError
