"""Interpreters in worker processes, as on a device: without TensorFlow, and a crash there is an error here.

(tflite-runtime cannot even build an interpreter in a process that imported TensorFlow before it.)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore, Lock

from ...runtime.common.errors import BackendError, NoInterpreterError
from ...runtime.common.run_worker import WorkerProcess, run_worker
from ...runtime.format.model_file import read_model_file
from ...runtime.interpreters.native_backend import refusal
from ...runtime.interpreters.registry import MICRO, NATIVE, NUMPY, backends_for, describe_backend, drop_numpy_fallback
from ...runtime.worker.messages import RunResult, RunSpec, trace_in_worker
from ..ops.precision import INT8

_AT_ONCE = BoundedSemaphore(os.cpu_count() or 1)  # requests; more would only disturb each other's measurements
_TIMEOUT = 3600.0  # seconds


class DeviceProcesses:
    """One worker process for each backend, started at its first request and ended with the `with` block.

    Requests to different backends may be made in different threads at the same time.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._workers: dict[str, WorkerProcess] = {}
        self._lock = Lock()

    def __enter__(self) -> DeviceProcesses:
        """Return the processes."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        for worker in self._workers.values():
            worker.close()

    def trace(self, path: Path, backend: str, specs: Mapping[str, RunSpec]) -> dict[str, RunResult]:
        """Step the file at `path` on `backend` as each of `specs` says, and in every other way the file has.

        Raises:
            BackendError: The interpreter failed or crashed; its reason is in the message.
        """
        with _AT_ONCE:
            try:
                return trace_in_worker(self._worker(backend), path, backend, specs, timeout=_TIMEOUT)
            except BackendError as error:
                raise _failed(describe_backend(backend), str(error)) from None

    def replay(self, path: Path, backend: str) -> float:
        """Load the file at `path` on `backend`, replay its golden sequence and return the largest difference.

        Raises:
            BackendError: The interpreter failed or crashed, or an answer is wrong; its reason is in the message.
        """
        with _AT_ONCE:
            found = self._worker(backend).request("replay", timeout=_TIMEOUT, model=str(path), backend=backend)
        if found.failure is not None:
            raise _failed(describe_backend(backend), found.failure)
        return float(found.value)

    def smallest_arena(self, path: Path) -> int:
        """Return the bytes of the smallest arena in which TensorFlow Lite Micro steps the file at `path`.

        Raises:
            BackendError: It crashed, or does not step the file.
        """
        with _AT_ONCE:
            found = self._worker(MICRO).request("arena", timeout=_TIMEOUT, model=str(path))
        if found.failure is not None:
            raise _failed(describe_backend(MICRO), found.failure)
        return int(found.value)

    def _worker(self, backend: str) -> WorkerProcess:
        with self._lock:
            return self._workers.setdefault(backend, WorkerProcess())


def installed_backends(
    format: str, quantizations: Iterable[str] = (), probed: Mapping[str, str | None] | None = None
) -> tuple[str, ...]:
    """Return the names of the backends that work on this machine for files of `format`; numpy only if it is alone.

    Args:
        format: "tflite" or "onnx".
        quantizations: Precisions of the files to be stepped.
        probed: Backend -> None if it works, or the reason why it does not; None: try them, once per process.

    Raises:
        NoInterpreterError: No backend works; the reason of each is in the message. Or numpy alone works, which does
            not round as interpreters do with int8, and int8 is among the `quantizations`.
    """
    probed = probe() if probed is None else probed
    working = drop_numpy_fallback(name for name in backends_for(format) if probed[name] is None)
    if not working:
        reasons = "\n".join(f"  - {probed[name]}" for name in backends_for(format))
        raise NoInterpreterError(
            f"No interpreter for .{format} files works here, so nothing can be proven:\n{reasons}\n"
            "Or export the other format alone (--format)."
        )
    if set(working) <= {NUMPY, NATIVE} and INT8 in quantizations:
        raise NoInterpreterError(
            f"The cost of {INT8} is measured on an interpreter, which rounds the inputs of products; numpy does not. "
            f"Install one for .{format} files (stepcell doctor says which), or leave out --quantize {INT8}."
        )
    return working


def those_that_take(path: Path, backends: Sequence[str]) -> tuple[str, ...]:
    """Return `backends` without the compiled engine, if the file at `path` has an operation that it lacks."""
    if NATIVE not in backends or refusal(read_model_file(path)) is None:
        return tuple(backends)
    return tuple(name for name in backends if name != NATIVE)


def micro_backends() -> tuple[str, ...]:
    """Return the names of the backends for files of TensorFlow Lite Micro, itself among them.

    Raises:
        NoInterpreterError: It does not work here, so that nothing can be proven.
    """
    if probe()[MICRO] is not None:
        raise NoInterpreterError(
            f"A file for TensorFlow Lite Micro is proven on it, and it does not work here: {probe()[MICRO]}. Nothing "
            "was written."
        )
    return installed_backends(MICRO)


@lru_cache
def probe() -> Mapping[str, str | None]:
    """Try all backends in a worker process; return name -> None if it works, or the reason why it does not."""
    found = run_worker("probe", timeout=_TIMEOUT)
    if found.failure is not None:
        raise _failed("The runtime", found.failure)
    probed: dict[str, str | None] = found.value
    return probed


def _failed(who: str, failure: str) -> BackendError:
    return BackendError(f"{who} failed in a process of its own: {failure}")
