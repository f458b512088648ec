"""Where interpreters come from: which of them a target can have, and what to type for it. numpy counts as one here.

Targets: the machines that a file may have to run on.
"""

from __future__ import annotations

import platform
import struct
import sys
from dataclasses import dataclass, field

from ..format.model_file import FORMATS, ONNX, TFLITE
from ..interpreters.registry import NUMPY, installed_version

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


@dataclass(frozen=True)
class Interpreter:
    """One interpreter and the wheels it comes as.

    Attributes:
        backend: Name of the backend.
        format: What it steps.
        distribution: What pip and apt call it.
        version: The version that the wheels are of, "" where any will do.
        extra: What brings it, whatever the target, "" where stepcell itself does.
        python: The lowest and the highest Python with wheels; None: no highest one.
        glibc: Machine -> the oldest glibc that its Linux wheels run with.
        numpy_below: It needs an older numpy than this, whatever its metadata say.
        apt: Debian package, "" for none.
    """

    backend: str
    format: str
    distribution: str
    version: str
    extra: str
    python: tuple[Version, Version | None]
    glibc: dict[str, Version]
    numpy_below: int | None = None
    apt: str = ""

    @property
    def is_fallback(self) -> bool:
        """Whether it is numpy, which steps what no interpreter is there for."""
        return self.backend == NUMPY


# As the tags of the wheels say. tflite-runtime was built against numpy 1 and its metadata forget to say so: with
# numpy 2 it is imported, and then cannot build an interpreter.
INTERPRETERS = (
    Interpreter(
        "litert", TFLITE, "ai-edge-litert", "2.3", "litert", ((3, 10), None), {"x86_64": (2, 27), "aarch64": (2, 27)}
    ),
    Interpreter(
        "tflite", TFLITE, "tflite-runtime", "2.14", "tflite", ((3, 9), (3, 11)),
        {"x86_64": (2, 17), "aarch64": (2, 34), "armv7l": (2, 34)}, numpy_below=2,
    ),
    Interpreter(
        "onnxruntime", ONNX, "onnxruntime", "1.31", "onnx", ((3, 10), None),
        {"x86_64": (2, 28), "aarch64": (2, 28)}, apt="python3-onnxruntime",
    ),
    *(Interpreter(NUMPY, format, NUMPY, "", "", ((3, 10), None), {}) for format in FORMATS),
)  # fmt: skip


@dataclass(frozen=True)
class Availability:
    """How a target gets an interpreter.

    Attributes:
        version: Which version it gets, None where there is none for it.
        commands: What to type there, in order.
        missing: Why there is none, "" where there is one.
    """

    version: str | None
    commands: tuple[str, ...] = ()
    missing: str = ""


def availability(interpreter: Interpreter, target: Target) -> Availability:
    """Find out how `target` gets `interpreter`."""
    if interpreter.is_fallback:
        own = target.machine == "armv7l" and target.apt.get("numpy")
        return Availability(own or interpreter.version, _pip_commands(interpreter, target))
    missing = _why_no_wheel(interpreter, target)
    if not missing:
        return Availability(interpreter.version, _pip_commands(interpreter, target))
    if interpreter.distribution in target.apt:
        packages = ("python3-venv", "python3-numpy", interpreter.apt)
        return Availability(target.apt[interpreter.distribution], _with_debian_packages(packages, "stepcell"))
    return Availability(None, missing=missing)


def _why_no_wheel(interpreter: Interpreter, target: Target) -> str:
    """Say why there is no wheel of `interpreter` for `target`, "" where there is one or pip alone can know."""
    if target.system != "linux":
        return "" if interpreter.numpy_below is None else f"{interpreter.distribution} has wheels for Linux alone"
    lowest, highest = interpreter.python
    oldest_glibc = interpreter.glibc.get(target.machine)
    problems = []
    if oldest_glibc is None:
        problems.append(f"for {target.machine}")
    elif target.glibc is None:
        problems.append("for a C library other than glibc")
    elif target.glibc < oldest_glibc:
        problems.append(f"for glibc below {text_of(oldest_glibc)}")
    if target.python < lowest or (highest is not None and target.python > highest):
        problems.append(f"for Python {text_of(target.python)}")
    return f"{interpreter.distribution} has no wheels {' or '.join(problems)}" if problems else ""


def _pip_commands(interpreter: Interpreter, target: Target) -> tuple[str, ...]:
    # The extra `tflite` brings tflite-runtime where it has wheels, and ai-edge-litert elsewhere.
    newer = target.system != "linux" or target.python > (3, 11)
    extra = "tflite" if interpreter.format == TFLITE and newer else interpreter.extra
    what = "stepcell" if interpreter.is_fallback else f"'stepcell[{extra}]'"
    if target.machine == "armv7l" and "numpy" in target.apt:  # there are no numpy wheels for it
        return _with_debian_packages(("python3-venv", "python3-numpy"), what)
    return (f"pip install {what}",)


def _with_debian_packages(packages: tuple[str, ...], what: str) -> tuple[str, ...]:
    return (
        f"sudo apt install {' '.join(packages)}",
        "python3 -m venv --system-site-packages ~/stepcell",
        f"~/stepcell/bin/pip install {what}",
    )


def numpy_problem(interpreter: Interpreter, target: Target) -> str:
    """Say why `interpreter` does not work with the numpy that is installed, "" where it does."""
    if interpreter.numpy_below is None or target.numpy is None:
        return ""
    if version_of(target.numpy)[0] < interpreter.numpy_below:
        return ""
    return (
        f"{interpreter.distribution} needs numpy < {interpreter.numpy_below} although it does not say so; here is "
        f"numpy {target.numpy}: pip install 'numpy<{interpreter.numpy_below}'"
    )
