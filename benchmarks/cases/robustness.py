"""Cases R1 to R15: kills, rotation, disks, stores, threads, hostile files, memory."""

from __future__ import annotations
