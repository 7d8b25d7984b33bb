"""Every failure a user can meet, as one tree.

    AculaError              1   an expected failure; base of all others
    |-- UsageError          2   an option, target, runtime or config key that does not exist
    |-- DataError           1   a recording, a row or a field of metadata.csv is not usable
    |   `-- LeakError       1   a patient or a recording stands in two splits
    |-- ContractError       1   two parts disagree on the audio front end
    |-- ArtifactError       1   an artifact is missing, half-written, changed or of another kind
    |   `-- ExistsError     1   the output is already there and --force was not given
    |-- GateError           3   a parity, accuracy or integrity gate failed; artifacts are kept
    `-- ToolError           4   a tool, an extra, weights or a device is missing

The number is the process's exit code. A message is one sentence that says what was wrong, where
(file, row, field) and how to mend it.
"""

from __future__ import annotations


class AculaError(Exception):
    """An expected failure, told to the user as a sentence, without a traceback."""

    exit_code: int = 1


class UsageError(AculaError):
    """The command line or a config file asks for something that does not exist."""

    exit_code = 2


class DataError(AculaError):
    """A recordings folder, its metadata or an audio file can not be used."""


class LeakError(DataError):
    """One patient or one recording stands in two splits."""


class ContractError(AculaError):
    """An audio contract is impossible, or two artifacts carry different ones."""


class ArtifactError(AculaError):
    """An artifact is missing, half-written, of another kind, or changed since it was written."""


class ExistsError(ArtifactError):
    """An output is already there; nothing is overwritten without --force."""


class GateError(AculaError):
    """A gate failed: the result exists, and is not good enough."""

    exit_code = 3


class ToolError(AculaError):
    """A tool, an optional package, pretrained weights or a device is missing."""

    exit_code = 4


def missing_extra(package: str, extra: str) -> ToolError:
    """The error for an optional package that is not installed."""
    return ToolError(f"{package} is not installed; run: pip install 'acula-edge[{extra}]'")
