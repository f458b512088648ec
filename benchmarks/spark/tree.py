"""Processor time of this process and all that it has started: of Spark the JVM, the daemon and its workers."""

from __future__ import annotations

import os
from pathlib import Path

_UTIME, _PARENT = 11, 1  # positions behind the name of the program in /proc/PID/stat


def processor_seconds() -> float:
    """Return the seconds of processor time of this process and its descendants, those that have ended among them."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            found[int(folder.name)] = int(fields[_PARENT]), sum(map(int, fields[_UTIME : _UTIME + 4]))
    tree, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, (parent, _) in found.items() if parent in tree} - tree
        tree |= more
        grown = bool(more)
    return sum(found[pid][1] for pid in tree) / os.sysconf("SC_CLK_TCK")
