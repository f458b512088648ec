"""Raspberry Pi OS without a Pi: its userland (Debian's packages, ARM wheels), each program in it emulated by QEMU.

Nothing is executed while a userland is made (the packages are only unpacked), and no kernel support, chroot or
privilege is needed to run it: QEMU looks every path up in the unpacked packages first. Times there say nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stepcell.runtime.common.run_worker import WorkerProcess

TOOLS = {"mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static", "qemu-arm-static": "qemu-user-static"}
KEYRING = "debian-archive-keyring"
LONGEST = 300.0  # seconds, of anything that is run


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_"))}


class NotPossibleHereError(Exception):
    """This machine cannot make or run a userland: a tool, a mirror or the network is missing."""


@dataclass(frozen=True)
class Machine:
    """One of the two processors that Raspberry Pi OS is made for.

    Attributes:
        debian: What Debian calls it.
        wheel: What wheels call it.
        qemu: The program that emulates it.
        libraries: The folder of its libraries.
        features: The line `Features` of /proc/cpuinfo.
        version: Of the architecture.
    """

    debian: str
    wheel: str
    qemu: str
    libraries: str
    features: str
    version: int


_ARM64 = Machine(
    "arm64", "aarch64", "qemu-aarch64-static", "aarch64-linux-gnu", "fp asimd evtstrm crc32 cpuid", version=8
)
_ARMHF = Machine(
    "armhf", "armv7l", "qemu-arm-static", "arm-linux-gnueabihf",
    "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32", version=7,
)  # fmt: skip


@dataclass(frozen=True)
class System:
    """One Raspberry Pi OS.

    Attributes:
        name: "bookworm64", ...
        suite: Name of the Debian release.
        machine: The processor.
        processor: What QEMU is to be: that of a Pi 2 (32-bit), a Pi 4 or a Pi 5.
        python: Version of its Python, two numbers.
        packages: Debian packages beside Python.
        wheels: What pip installs: all interpreters that have wheels for it.
    """

    name: str
    suite: str
    machine: Machine
    processor: str
    python: str
    packages: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The name that `stepcell doctor --target` has for it."""
        return f"pi-{self.suite}-{self.name[-2:]}"


# On the 32-bit systems numpy has no wheels: it is Debian's.
SYSTEMS = (
    System(
        "bookworm64", "bookworm", _ARM64, "cortex-a72", "3.11",
        wheels=("tflite-runtime", "ai-edge-litert", "onnxruntime", "numpy<2"),
    ),
    System("bookworm32", "bookworm", _ARMHF, "cortex-a7", "3.11", ("python3-numpy",), ("tflite-runtime",)),
    System("trixie64", "trixie", _ARM64, "cortex-a76", "3.13", wheels=("ai-edge-litert", "onnxruntime", "numpy")),
    System("trixie32", "trixie", _ARMHF, "cortex-a7", "3.13", ("python3-numpy", "python3-onnxruntime")),
)  # fmt: skip


def missing_tools() -> list[str]:
    """Return the Debian packages that must be installed first."""
    found = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    if not Path("/usr/share/keyrings", f"{KEYRING}.gpg").exists():
        found.add(KEYRING)
    return sorted(found)


def debian_mirror() -> str:
    """Return the mirror that apt on this machine takes Debian's packages from."""
    fields = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    if shutil.which("apt-get"):
        for line in _run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]).splitlines():
            origin, label, address = line.split("|", 2)
            if (origin, label) == ("Debian", "Debian"):
                return address
    raise NotPossibleHereError("apt on this machine knows no Debian mirror (run: sudo apt-get update)")


class Userland:
    """An unpacked system in a folder, in which Python programs can be run."""

    def __init__(self, system: System, folder: Path) -> None:
        """Name `system`, whose files are or will be in `folder`."""
        self.system = system
        self._root, self._site, self._own = folder / "root", folder / "site", folder / "stepcell"
        self._recipe = folder / "recipe.json"
        self._folder = folder

    def make(self, wheel: Path) -> None:
        """Unpack the system, unless that has been done, and install the stepcell of `wheel`.

        Raises:
            NotPossibleHereError: A package cannot be had.
        """
        recipe = repr(self.system)
        if not self._recipe.exists() or json.loads(self._recipe.read_text()) != recipe:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            self._unpack()
            self._show_processor()
            # What runs the command line, and then the interpreters. pip would take the numpy of a 32-bit system for
            # missing: there each interpreter comes alone.
            self._pip("typer", target=self._site)
            alone = ["--no-deps"] if "python3-numpy" in self.system.packages else []
            if self.system.wheels:
                self._pip(*alone, *self.system.wheels, target=self._site)
            self._recipe.write_text(json.dumps(recipe))
        shutil.rmtree(self._own, ignore_errors=True)
        self._pip("--no-deps", str(wheel), target=self._own)

    def run(self, *arguments: str, given: str = "") -> str:
        """Run Python there with `arguments` and `given` as input; return what it prints.

        Raises:
            RuntimeError: It fails or crashes.
        """
        process = subprocess.run(
            [*self._python, *arguments], input=given, capture_output=True, encoding="utf-8", errors="replace",
            env=_environment(), check=False, timeout=LONGEST,
        )  # fmt: skip
        if process.returncode:
            lines = process.stderr.strip().splitlines() or [f"it ended with {process.returncode}"]
            raise RuntimeError(f"{self.system.name}: {lines[-1]}")
        return process.stdout

    def worker(self) -> WorkerProcess:
        """Return a worker process there."""
        return WorkerProcess([*self._python, "-m", "stepcell.runtime.worker"], _environment())

    @property
    def _python(self) -> list[str]:
        """The command that runs Python there."""
        machine = self.system.machine
        libraries = self._root / "usr/lib" / machine.libraries
        paths = [self._own, self._site, self._root / "usr/lib/python3/dist-packages"]
        # One thread of OpenBLAS: more of them take ten times as long under emulation.
        environment = {
            "LD_LIBRARY_PATH": f"{libraries / 'blas'}:{libraries / 'lapack'}",
            "PYTHONPATH": ":".join(map(str, paths)),
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [machine.qemu, "-cpu", self.system.processor, "-L", str(self._root)]
        for name, value in environment.items():
            command += ["-E", f"{name}={value}"]
        return [*command, str(self._root / "usr/bin" / f"python{self.system.python}")]

    def _unpack(self) -> None:
        system = self.system
        python = [f"python{system.python}-minimal", f"libpython{system.python}-stdlib"]
        packages = [*python, "libstdc++6", "libgcc-s1", "zlib1g", *system.packages]
        _run(
            ["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={system.machine.debian}",
             "--components=main", f"--include={','.join(packages)}", system.suite, str(self._root), debian_mirror()]
        )  # fmt: skip
        for name in ("bin", "lib"):  # in Trixie made by a script of a package, and none was run
            if not (self._root / name).exists():
                (self._root / name).symlink_to(f"usr/{name}")

    def _show_processor(self) -> None:
        """Write the /proc/cpuinfo of a Pi: older QEMUs show that of this machine, and interpreters crash on it."""
        machine = self.system.machine
        lines = "".join(
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {machine.features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: {machine.version}\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
            for number in range(4)
        )
        (self._root / "proc").mkdir(exist_ok=True)
        (self._root / "proc/cpuinfo").write_text(lines)

    def _pip(self, *what: str, target: Path) -> None:
        """Install wheels for the system with the pip of this machine."""
        glibc = range(17, 42) if self.system.suite == "trixie" else range(17, 37)
        kinds = [f"manylinux_2_{minor}" for minor in reversed(glibc)] + ["manylinux2014", "linux"]
        platforms = [part for kind in kinds for part in ("--platform", f"{kind}_{self.system.machine.wheel}")]
        _run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--implementation", "cp",
             "--python-version", self.system.python, *platforms, "--upgrade", "--target", str(target), *what]
        )  # fmt: skip


def _run(command: Sequence[str]) -> str:
    """Run a program of this machine and return what it prints; what goes wrong is that something cannot be had."""
    try:
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=LONGEST
        ).stdout
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise NotPossibleHereError(f"{Path(command[0]).name}: {last}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotPossibleHereError(f"{Path(command[0]).name}: {error}") from error
