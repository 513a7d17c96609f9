"""This process's own peak memory."""

from __future__ import annotations

from pathlib import Path


def peak_mib() -> float:
    """Since this program began, in MiB: unlike ru_maxrss it does not carry over from the parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
