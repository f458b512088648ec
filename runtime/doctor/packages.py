"""The interpreters that a target can install, and the commands. numpy is treated as one of them."""

from __future__ import annotations

import platform
import struct
import sys
from dataclasses import dataclass, field

from ..format.model_file import FORMATS, ONNX, TFLITE
from ..interpreters.registry import MICRO, NATIVE, NUMPY, installed_version

Version = tuple[int, ...]
THIS = "this"


@dataclass(frozen=True)
class Target:
    """A machine, as far as it decides which interpreters can be installed.

    Attributes:
        name: "pi-bookworm-64", ..., or "this".
        title: The name that people know.
        python: Version of Python, two numbers.
        machine: "x86_64", "aarch64", "armv7l", ...: of the userland; a 64-bit kernel may carry a 32-bit one.
        glibc: Version of the C library; None: it is another one, and no manylinux wheel can be installed.
        system: "linux", "darwin", "win32".
        numpy: Installed version, None if pip chooses it.
        apt: Distribution -> version, of the distributions that are Debian packages.
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
        """Whether interpreters can be tried on it here."""
        return self.name == THIS

    def describe(self) -> str:
        """Return the attributes that decide, in a line."""
        glibc = f"glibc {text_of(self.glibc)}" if self.glibc else "no glibc"
        numpy = [f"numpy {self.numpy}"] if self.numpy else []
        return ", ".join([self.title, f"Python {text_of(self.python)}", self.machine, glibc, *numpy])


# Python, glibc, numpy and interpreters of Debian 12 and 13, on which Raspberry Pi OS is based. Debian has packages of
# one interpreter, onnxruntime, from Debian 13 on.
_BOOKWORM = ((3, 11), (2, 36), {"numpy": "1.24"})
_TRIXIE = ((3, 13), (2, 41), {"numpy": "2.2", "onnxruntime": "1.21"})
PI_TARGETS = tuple(
    Target(f"pi-{suite.lower()}-{bits}", f"Raspberry Pi OS {suite}, {bits}-bit", python, machine, glibc, apt=apt)
    for suite, (python, glibc, apt) in (("Bookworm", _BOOKWORM), ("Trixie", _TRIXIE))
    for bits, machine in ((64, "aarch64"), (32, "armv7l"))
)
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
    """Return the first two numbers of a version; a part that is not a number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split(".")[:2])


def text_of(version: Version) -> str:
    """Return a version as text."""
    return ".".join(map(str, version))


@dataclass(frozen=True)
class Interpreter:
    """One interpreter and its wheels.

    Attributes:
        backend: Name of the backend.
        format: Model format that it steps.
        distribution: Its name for pip.
        version: The version of the wheels, "" if any will do.
        extra: The extra that installs it on any target, "" if stepcell itself does.
        python: The lowest and the highest Python with wheels; None: no highest one.
        glibc: Machine -> the oldest glibc that its Linux wheels run with.
        numpy_below: It needs an older major version of numpy than this, whatever its metadata say.
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
        """Whether it is no interpreter: numpy, or the compiled engine, which are never taken before one."""
        return self.backend in (NUMPY, NATIVE)


# From the tags of the wheels on PyPI. tflite-runtime was built against numpy 1, and its metadata do not say so: with
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
    Interpreter("tflm", MICRO, "tflite-micro", "", "tflm", ((3, 11), (3, 13)), {"x86_64": (2, 28)}),
    *(Interpreter(NUMPY, format, NUMPY, "", "", ((3, 10), None), {}) for format in FORMATS),
)  # fmt: skip

# The compiled engine; of this machine alone, since nothing tells where else there is a compiler.
ENGINES = {format: Interpreter(NATIVE, format, "compiled engine", "", "", ((3, 10), None), {}) for format in FORMATS}


@dataclass(frozen=True)
class Availability:
    """How to install an interpreter on a target.

    Attributes:
        version: The version for it, None if there is none.
        commands: The commands to type there, in order.
        missing: Why there is none, "" if there is one.
    """

    version: str | None
    commands: tuple[str, ...] = ()
    missing: str = ""


def availability(interpreter: Interpreter, target: Target) -> Availability:
    """Return how to install `interpreter` on `target`."""
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
    """Return why there is no wheel of `interpreter` for `target`, "" if there is one or only pip can know."""
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
    # The extra `tflite` installs tflite-runtime if it has wheels, else ai-edge-litert.
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
    """Return why `interpreter` does not work with the installed numpy, "" if it does."""
    if interpreter.numpy_below is None or target.numpy is None:
        return ""
    if version_of(target.numpy)[0] < interpreter.numpy_below:
        return ""
    return (
        f"{interpreter.distribution} needs numpy < {interpreter.numpy_below} although it does not say so; here is "
        f"numpy {target.numpy}: pip install 'numpy<{interpreter.numpy_below}'"
    )
