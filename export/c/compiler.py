"""The C compiler of this machine, and programs made with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32
from ...runtime.common.errors import BackendError, CompilerError
from ...runtime.format.manifest import Manifest
from ...runtime.worker.messages import RunResult, RunSpec
from . import driver
from .source import CSource

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_TIMEOUT = 600.0  # seconds
_TIMED = 2_000  # steps


@dataclass(frozen=True)
class Compiler:
    """A C compiler.

    Attributes:
        path: Where it is.
        version: The first line of what it says of itself.
    """

    path: str
    version: str

    def compile(self, source: Path, program: Path, options: Sequence[str] = ("-O2",)) -> None:
        """Compile one source file to a program, every warning being an error.

        Raises:
            CompilerError: It refuses; its message is in the error.
        """
        command = [self.path, *STRICT, *options, str(source), "-o", str(program), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT)
        if done.returncode:
            shown = "\n".join(done.stderr.splitlines()[:20])
            raise CompilerError(f"The compiler {self.path} refuses {source.name}:\n{shown}\nNothing was written.")


def find_compiler() -> Compiler:
    """Return the C compiler of this machine: that in the environment variable CC, cc, gcc or clang.

    Raises:
        CompilerError: There is none.
    """
    for name in filter(None, [os.environ.get("CC"), "cc", "gcc", "clang"]):
        path = shutil.which(name)
        if path is None:
            continue
        try:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if said.returncode == 0 and said.stdout.strip():
            return Compiler(path, said.stdout.splitlines()[0].strip())
    raise CompilerError(
        "There is no C compiler here, so that C cannot be proven. Install one (Debian: apt-get install gcc), or have "
        "the files without a proof: --unproven"
    )


class CompiledStep:
    """A program that steps a model printed as C."""

    def __init__(self, source: CSource, manifest: Manifest, folder: Path, options: Sequence[str] = ("-O2",)) -> None:
        """Compile `source` in `folder`; see `Compiler.compile` for errors."""
        self._source, self._manifest = source, manifest
        self._program = folder / f"{source.name}_driver"
        (folder / f"{source.name}.h").write_text(source.header)
        (folder / f"{source.name}.c").write_text(source.body)
        main = folder / f"{source.name}_driver.c"
        main.write_text(driver.driver_source(source, manifest))
        find_compiler().compile(main, self._program, options)

    def trace(self, spec: RunSpec) -> RunResult:
        """Step the symbols of `spec`.

        Raises:
            BackendError: A step failed, or the program did.
        """
        kept = set(spec.kept_steps.tolist())
        steps = len(spec.inputs)
        requests = self._requests(spec, kept)
        answers = _Answers(self._run(b"".join(requests)))
        outputs: dict[str, list[Float32]] = {name: [] for name in self._source.plan.outputs}
        states: dict[str, list[Float32]] = {each.tensor.name: [] for each in self._source.plan.state}
        for step in range(steps):
            code = int(answers.take(1, np.int32)[0])
            if code < 0:
                raise BackendError(f"The C of {self._source.name} returns {code} at step {step + 1} of {steps}.")
            if step in kept:
                for name, view in self._source.plan.outputs.items():
                    outputs[name].append(answers.take(view.size, np.float32))
            if spec.each or step == steps - 1:
                for each in self._source.plan.state:
                    states[each.tensor.name].append(answers.take(each.before.size, np.float32))
        shapes = {tensor.name: tensor.shape for tensor in self._manifest.state}
        main, *others = (np.array(rows) for rows in outputs.values())
        microseconds = None if spec.each else float(answers.take(1, np.float64)[0]) / _TIMED * 1e6
        return RunResult(
            main,
            {name: np.array(rows).reshape((-1, *shapes[name])) for name, rows in states.items()},
            microseconds,
            dict(zip(list(outputs)[1:], others, strict=True)),
        )

    def _requests(self, spec: RunSpec, kept: set[int]) -> Iterator[bytes]:
        plan, steps = self._source.plan, len(spec.inputs)
        for step in range(steps):
            flags = driver.STEP
            flags |= driver.STATE if spec.each or step == 0 else 0
            flags |= driver.OUTPUTS if step in kept else 0
            flags |= driver.STATES if spec.each or step == steps - 1 else 0
            parts: list[AnyArray] = [np.array([flags], np.int32)]
            if flags & driver.STATE:
                row = step if spec.each else 0
                parts += [spec.state[each.tensor.name][row].astype(np.float32) for each in plan.state]
            parts += [spec.inputs.ids[step : step + 1].astype(np.int32)] if plan.symbol else []
            parts += [spec.inputs.features[name][step] for name in plan.features]
            yield b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        if not spec.each:
            yield np.array([driver.TIME, _TIMED], np.int32).tobytes()

    def _run(self, requests: bytes) -> bytes:
        try:
            done = subprocess.run([str(self._program)], input=requests, capture_output=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise BackendError(f"The C of {self._source.name} did not end within {_TIMEOUT:g} seconds.") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()[:20]
            raise BackendError("\n".join([f"The C of {self._source.name} failed ({done.returncode}).", *said]))
        return done.stdout


class _Answers:
    """Numbers in the order in which a program wrote them."""

    def __init__(self, content: bytes) -> None:
        self._content, self._begin = content, 0

    def take(self, count: int, dtype: type) -> AnyArray:
        """Return the next numbers."""
        found: AnyArray = np.frombuffer(self._content, dtype, count, self._begin)
        self._begin += found.nbytes
        return found
