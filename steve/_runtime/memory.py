"""How much memory this process has."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def resident_mib() -> float:
    """The resident memory of this process in MiB. Where the system has no /proc, it is the most that the process ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        import resource  # Unix only

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (2**20 if sys.platform == "darwin" else 2**10)
