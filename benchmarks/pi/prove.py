"""Steps the checked-in model files on emulated Raspberry Pi OS, as it is installed there, and compares.

    python benchmarks/pi/prove.py                           # or: make pi
    python benchmarks/pi/prove.py bookworm64 trixie32       # some of the systems

Needs the Debian packages mmdebstrap, qemu-user-static and debian-archive-keyring, and half a gigabyte in build/pi,
where the userlands stay for the next time. With gcc-aarch64-linux-gnu the 64-bit ones have the compiled engine too.
Each interpreter that exists there replays the golden sequence of the file and steps 2,000 symbols with the state
carried; the answers and the last state are compared with those of the same interpreter on this machine. `stepcell
doctor` must have known which interpreters there are.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from userland import LONGEST, SYSTEMS, NotPossibleHereError, Userland, missing_tools

from stepcell.runtime import BackendError, read_model_file
from stepcell.runtime.common.run_worker import WorkerProcess
from stepcell.runtime.common.terminal import format_table
from stepcell.runtime.doctor.packages import INTERPRETERS, availability, find_target
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.interpreters.probe import usable_backends
from stepcell.runtime.interpreters.registry import NATIVE, NUMPY, interpreters_for
from stepcell.runtime.worker.messages import RunResult, RunSpec, trace_in_worker

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
from wheels import build_wheel, can_build_for_aarch64  # noqa: E402

FILES = (ROOT / "tests/data/memory.tflite", ROOT / "tests/data/memory.onnx")
STEPS = 2000
# Largest allowed differences between processors, of probabilities and states. Interpreters have other kernels for
# 32-bit ARM, those of TFLite the least exact ones, and what a network remembers adds up; numpy answers alike there.
ALLOWED = (1e-5, 1e-5)
# Kinds of processors add in other orders in the engine: AVX-512 and SSE2 of one machine are 2.3e-5 apart here.
ALLOWED_OF_ENGINE = (5e-5, 1e-5)
ALLOWED_32_BIT = {"tflite": (1e-3, 1e-3), "onnxruntime": (1e-4, 1e-5)}
HEADER = ("system", "Python", "backend", "file", "loads", "golden", f"{STEPS:,} steps", "state after", "same answer")
_ASK = """
import json, platform
from stepcell.runtime.interpreters.probe import probe_backends
from stepcell.runtime.interpreters.registry import BACKEND_NAMES, describe_backend
print(json.dumps([platform.python_version(), {n: [describe_backend(n), probe_backends()[n]] for n in BACKEND_NAMES}]))
"""


def main() -> int:
    """Make the userlands, step in them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(s.name for s in SYSTEMS)}")
    parser.add_argument("--if-possible", action="store_true", help="exit code 0 where this machine cannot do it")
    parser.add_argument("--install-tools", action="store_true", help="install missing Debian packages; needs root")
    parser.add_argument("--seconds", type=int, default=0, help="give up after so many; 0: never")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.systems) - {system.name for system in SYSTEMS})
    if unknown:
        parser.error(f"no such system: {', '.join(unknown)}")
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(arguments.seconds)
    try:
        if arguments.install_tools:
            install_tools()
        missing = missing_tools()
        if missing:
            raise NotPossibleHereError(f"missing tools (run: sudo apt-get install {' '.join(missing)})")
        wanted = [system for system in SYSTEMS if system.name in (arguments.systems or [s.name for s in SYSTEMS])]
        userlands = [Userland(system, ROOT / "build/pi" / system.name) for system in wanted]
        with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
            wheels = build(Path(folder))
            for userland in userlands:
                print(f"{userland.system.name}: unpacking", file=sys.stderr, flush=True)
                userland.make(wheels.get(userland.system.machine.wheel, wheels["any"]))
        return report(userlands)
    except NotPossibleHereError as error:
        print(f"pi: not proven here: {error}", file=sys.stderr)
        return 0 if arguments.if_possible else 1


def report(userlands: list[Userland]) -> int:
    """Step in all of them, print the table and what is wrong; return the exit code."""
    rows: list[tuple[str, ...]] = []
    problems: list[str] = []
    for userland in userlands:
        print(f"{userland.system.name}: stepping", file=sys.stderr, flush=True)
        try:
            rows += step_there(userland, problems)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            problems.append(str(error))
    print("\n".join(format_table(HEADER, rows)))
    print(
        f"golden: largest difference from the recorded answers; {STEPS:,} steps, state after: from the same "
        f"interpreter on this machine\nallowed: probabilities {ALLOWED[0]:g} (engine {ALLOWED_OF_ENGINE[0]:g}), states "
        f"{ALLOWED[1]:g}; on 32 bits "
        + ", ".join(f"{name} {most:g} and {state:g}" for name, (most, state) in ALLOWED_32_BIT.items())
    )
    for problem in problems:
        print(f"wrong: {problem}")
    return 1 if problems else 0


def step_there(userland: Userland, problems: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each interpreter and file; add to `problems` what is wrong."""
    system = userland.system
    python, probed = json.loads(userland.run("-c", _ASK))
    built = probed[NATIVE][1] is None  # into the wheel that was installed there
    expected = {i.backend for i in INTERPRETERS if availability(i, find_target(system.target)).version is not None}
    found = {name for name, (_, problem) in probed.items() if problem is None and name != NATIVE}
    if found != expected:
        problems.append(f"{system.name}: {sorted(found)} work there, the doctor says {sorted(expected)}")
    for path in FILES:
        for backend in (*interpreters_for(path.suffix[1:]), *([NATIVE] if built else [])):
            name, problem = probed[backend]
            if problem is not None:
                yield (system.name, python, name, path.name, "does not exist there", "", "", "", "")
                continue
            with userland.worker() as worker:
                replayed = worker.request("replay", timeout=LONGEST, model=str(path), backend=backend)
                if replayed.failure is not None:
                    raise RuntimeError(f"{system.name}: {replayed.failure}")
                there = trace(worker, path, backend)
            with WorkerProcess() as worker:  # with numpy where the interpreter does not exist here
                here = trace(worker, path, backend if backend in usable_backends(path.suffix[1:]) else NUMPY)
            golden = float(replayed.value)
            answers = float(np.abs(there.probabilities - here.probabilities).max())
            state = max(float(np.abs(there.states[n] - array).max()) for n, array in here.states.items())
            same = float((there.probabilities.argmax(1) == here.probabilities.argmax(1)).mean())
            narrow = system.machine.wheel == "armv7l"
            most, most_of_state = ALLOWED_32_BIT.get(backend, ALLOWED) if narrow else ALLOWED
            if backend == NATIVE:
                most, most_of_state = ALLOWED_OF_ENGINE
            # Written so that what is not a number is not right either.
            if not (golden <= most and answers <= most and state <= most_of_state and same == 1):
                problems.append(f"{system.name}: {name} steps {path.name} otherwise than this machine")
            yield (
                system.name, python, name, path.name, "yes", f"{golden:.1e}", f"{answers:.1e}", f"{state:.1e}",
                f"{same:.2%}".replace("%", " %"),
            )  # fmt: skip
    said = userland.run("-c", "from stepcell.cli import app; app()", "predict", str(FILES[0]), given="4\n0\n1\n2\n")
    if said.splitlines()[-1:] != ["4"]:
        problems.append(f"{system.name}: stepcell predict says {said!r}")


def trace(worker: WorkerProcess, path: Path, backend: str) -> RunResult:
    """Step the same random symbols through `path`.

    Raises:
        RuntimeError: The interpreter fails or crashes.
    """
    manifest = read_model_file(path).manifest
    ids = np.random.default_rng(0).integers(0, len(manifest.vocabulary), STEPS).astype(np.int32)
    spec = RunSpec(Inputs(ids), initial_state(manifest.state), after_reset=True)
    try:
        return trace_in_worker(worker, path, backend, {"carried": spec}, timeout=LONGEST)["carried"]
    except BackendError as error:
        raise RuntimeError(f"{path.name} on {backend}: {error}") from error


def build(folder: Path) -> dict[str, Path]:
    """Build wheels into `folder`: that for all machines, and with a compiler for 64-bit ARM that with the engine."""
    try:
        wheels = {"any": build_wheel(folder, pure=True)}
        if can_build_for_aarch64():
            wheels["aarch64"] = build_wheel(folder, pure=False, aarch64=True)
        return wheels
    except SystemExit as error:
        raise NotPossibleHereError(str(error)) from error


def install_tools() -> None:
    """Install what is missing, where this is root on a Debian; otherwise what is missing stays missing."""
    missing = missing_tools()
    if not missing or os.geteuid() != 0:
        return
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            subprocess.run(
                ["apt-get", "--quiet", *command], env=environment, capture_output=True, check=False, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired):
            return


def _too_long(*_: object) -> None:
    raise NotPossibleHereError("it takes too long")


if __name__ == "__main__":
    sys.exit(main())
