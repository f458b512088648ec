"""Tell systemd how the service is, by the protocol of sd_notify(3): datagrams to the socket $NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

_PATIENCE = 1.0  # seconds that a datagram may wait for room


class Notifier:
    """Sends the state of the service. Without $NOTIFY_SOCKET it does nothing.

    A message that cannot be sent is lost, and the service goes on: systemd notices by itself if it hears nothing.

    Attributes:
        interval: Seconds within which `beat` is called again, half of what systemd waits; None: it waits for nothing.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Take the socket from NOTIFY_SOCKET, and the watchdog from WATCHDOG_USEC and WATCHDOG_PID."""
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.interval = None if self._address is None else _interval(environment)
        self._due = 0.0
        self._status = ""

    def ready(self, status: str) -> None:
        """Say that the service does its work, at the start and after `reloading`; `status` says it in words."""
        self._status = status
        self._send("READY=1", f"STATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Say in words what the service does, unless that was said last."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={_line(status)}")

    def beat(self) -> None:
        """Say that the loop runs, if it is time. Called by the loop itself, so that one that hangs is restarted."""
        if self.interval is None:
            return
        now = time.monotonic()
        if now >= self._due:
            self._send("WATCHDOG=1")
            self._due = now + self.interval

    def reloading(self, status: str) -> None:
        """Say that a reload has begun; `ready` ends it. systemd compares the time with that of its request."""
        self._status = status
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", f"STATUS={_line(status)}")

    def stopping(self, status: str) -> None:
        """Say that the service ends."""
        self._status = status
        self._send("STOPPING=1", f"STATUS={_line(status)}")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE)
            sender.sendto("\n".join(assignments).encode(), self._address)


def _address(found: str) -> str | None:
    """Return the address of a socket as Python takes it: a path, or an abstract name ("@name"); None: it is neither."""
    if found[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return None
    return f"\0{found[1:]}" if found[0] == "@" else found


def _interval(environment: Mapping[str, str]) -> float | None:
    """Return half the time of the watchdog in seconds; None: there is none, or it is that of another process."""
    microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or not int(microseconds) or process not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 2e6


def _line(text: str) -> str:
    return " ".join(text.split())  # a line end would begin another assignment
