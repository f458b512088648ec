"""Targets: the machines that a file may have to run on."""

from __future__ import annotations

import platform
import struct
import sys
from dataclasses import dataclass, field

from ..backend import installed_version

Version = tuple[int, ...]
THIS = "this"


@dataclass(frozen=True)
class Target:
    """What decides which interpreters there are on a machine.

    Attributes:
        name: "pi-bookworm-64", ..., or "this".
        title: What people call it.
        python: Version of Python, two numbers.
        machine: "x86_64", "aarch64", "armv7l", ...: of the userland; a 64-bit kernel may carry a 32-bit one.
        glibc: Version of the C library, None where it is another one: then no manylinux wheel can be installed.
        system: "linux", "darwin", "win32".
        numpy: Installed version, None where pip chooses.
        apt: Distribution -> version, of what comes as a Debian package.
    """

    name: str
    title: str
    python: Version
    machine: str
    glibc: Version | None
    system: str = "linux"
    numpy: str | None = None
    apt: dict[str, str] = field(default_factory=dict)

    @property
    def is_this_machine(self) -> bool:
        """Whether it can be tried out here."""
        return self.name == THIS

    def describe(self) -> str:
        """Return everything that decides, in a line."""
        parts = [
            self.title, f"Python {text_of(self.python)}", self.machine,
            f"glibc {text_of(self.glibc)}" if self.glibc else "no glibc",
        ]  # fmt: skip
        return ", ".join([*parts, f"numpy {self.numpy}"] if self.numpy else parts)


# Python, glibc and numpy of Debian 12 and 13, which Raspberry Pi OS is made of. Of the interpreters Debian packages
# onnxruntime alone, from Debian 13 on.
PI_TARGETS = (
    Target("pi-bookworm-64", "Raspberry Pi OS Bookworm, 64-bit", (3, 11), "aarch64", (2, 36), apt={"numpy": "1.24"}),
    Target("pi-bookworm-32", "Raspberry Pi OS Bookworm, 32-bit", (3, 11), "armv7l", (2, 36), apt={"numpy": "1.24"}),
    Target(
        "pi-trixie-64", "Raspberry Pi OS Trixie, 64-bit", (3, 13), "aarch64", (2, 41),
        apt={"numpy": "2.2", "onnxruntime": "1.21"},
    ),
    Target(
        "pi-trixie-32", "Raspberry Pi OS Trixie, 32-bit", (3, 13), "armv7l", (2, 41),
        apt={"numpy": "2.2", "onnxruntime": "1.21"},
    ),
)  # fmt: skip
TARGET_NAMES = (*(target.name for target in PI_TARGETS), THIS)


def find_target(name: str) -> Target:
    """Return the target `name`, one of `TARGET_NAMES`."""
    return this_machine() if name == THIS else next(target for target in PI_TARGETS if target.name == name)


def this_machine() -> Target:
    """Return the machine that this process runs on."""
    library, version = platform.libc_ver()
    machine = platform.machine().replace("AMD64", "x86_64").replace("arm64", "aarch64")
    if machine == "aarch64" and struct.calcsize("P") == 4:
        machine = "armv7l"  # Raspberry Pi OS 32-bit boots a 64-bit kernel on a Pi 4
    return Target(
        name=THIS,
        title="this machine",
        python=sys.version_info[:2],
        machine=machine,
        glibc=version_of(version) if library == "glibc" else None,
        system=sys.platform,
        numpy=installed_version("numpy"),
    )


def version_of(text: str) -> Version:
    """Return the leading two numbers of a version; those that are not numbers count as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split(".")[:2])


def text_of(version: Version) -> str:
    """Return a version as it is written."""
    return ".".join(map(str, version))
