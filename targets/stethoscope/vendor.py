"""Vendor: the sources of CMSIS-NN as the pinned package carries them, with their licences."""

from __future__ import annotations

import importlib.util
from importlib import metadata, resources

from acula_edge.errors import ToolError, missing_extra

PACKAGE, VERSION, EXTRA = "bakenn", "1.0.0", "cmsis-nn"
_FOLDER = "bakenn.backend.cmsis_nn.vendor"
_NN, _CORE = "cmsis_nn", "cmsis_core"
_LAYERS = ("Source/ConvolutionFunctions", "Source/NNSupportFunctions")
# The package's own file for programs without a C library; ours have memcpy.
_LEFT_OUT = "bakenn_cmsis_memory.c"


def require_cmsis() -> None:
    """Raises ToolError if the package is missing or not the pinned one."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise missing_extra(PACKAGE, EXTRA)
    found = metadata.version(PACKAGE)
    if found != VERSION:
        raise ToolError(f"{PACKAGE} is {found}, not {VERSION}; run: pip install 'acula-edge[{EXTRA}]'")


def cmsis_files() -> dict[str, str]:
    """Text of each file by its name: what convolutions need, in one folder, and who may copy it.

    Raises ToolError if the package is missing or not the pinned one.
    """
    require_cmsis()
    vendor = resources.files(_FOLDER)
    texts = {}
    for folder in (f"{_CORE}/Include", f"{_NN}/Include", *(f"{_NN}/{name}" for name in _LAYERS)):
        for entry in vendor.joinpath(folder).iterdir():
            if entry.name.endswith((".c", ".h")) and entry.name != _LEFT_OUT:
                texts[entry.name] = entry.read_text(encoding="utf-8")
    texts["LICENSE.txt"] = vendor.joinpath(_NN, "LICENSE.txt").read_text(encoding="utf-8")
    texts["LICENSE-core.txt"] = vendor.joinpath(_CORE, "LICENSE.txt").read_text(encoding="utf-8")
    texts["PROVENANCE.md"] = vendor.joinpath(_NN, "BAKENN_PROVENANCE.md").read_text(encoding="utf-8")
    return texts
