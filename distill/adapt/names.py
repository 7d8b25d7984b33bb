"""Names of the files that travel between export, run and apply."""

from __future__ import annotations

TRUNK = "trunk.pte"
ADAPT = "adapt.pte"
PLAN = "plan.json"
HEAD = "head.bin"
ADAPTATION = "adaptation.json"
TIMING = "timing.json"
APPLIED = "adapted.json"
MODEL = "model.tflite"
MODEL_PCM = "model_pcm.tflite"
