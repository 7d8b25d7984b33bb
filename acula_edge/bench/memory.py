"""Memory: the most that this process has ever held resident."""

from __future__ import annotations

import resource
import sys

# ru_maxrss is in KiB on Linux and in bytes on macOS.
_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def peak_resident_bytes() -> int:
    """Peak resident set size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT_BYTES
