"""The runtime in a process of its own, as on a device: no TensorFlow in it, and a crash there is an error here.

(tflite-runtime cannot even build an interpreter in a process that imported TensorFlow before it.)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from ...runtime.common.errors import BackendError, NoInterpreterError
from ...runtime.common.run_worker import WorkerProcess, run_worker
from ...runtime.interpreters.registry import NUMPY, backends_for, describe_backend, drop_numpy_fallback
from ...runtime.worker.messages import RunResult, RunSpec, trace_in_worker
from ..ops.precision import INT8

_AT_ONCE = BoundedSemaphore(os.cpu_count() or 1)  # processes; more would only disturb what others measure
_LONGEST = 3600.0  # seconds; nothing should take so long, and nothing may wait for ever


def installed_backends(format: str, quantizations: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the backends that work on this machine for files of `format`; numpy only for want of others.

    Raises:
        NoInterpreterError: There is none; why each does not work is in the message. Or numpy alone is there, which
            cannot show what an interpreter makes of int8, and that is among the `quantizations` asked for.
    """
    probed = _probe()
    working = drop_numpy_fallback(name for name in backends_for(format) if probed[name] is None)
    if not working:
        reasons = "\n".join(f"  - {probed[name]}" for name in backends_for(format))
        raise NoInterpreterError(
            f"No interpreter for .{format} files works here, so nothing can be proven:\n{reasons}\n"
            "Or export the other format alone (--format)."
        )
    if working == (NUMPY,) and INT8 in quantizations:
        raise NoInterpreterError(
            f"What {INT8} costs is measured on an interpreter, which rounds what weights are multiplied with; numpy "
            f"does not. Install one for .{format} files (stepcell doctor says which), or leave out --quantize {INT8}."
        )
    return working


def trace_in_process(path: Path, backend: str, courses: Mapping[str, RunSpec]) -> dict[str, RunResult]:
    """Do what `runtime.worker.trace.trace_all` does for each of `courses`, in a process of its own.

    Raises:
        BackendError: The process failed or crashed; what it said is in the message.
    """
    with _AT_ONCE, WorkerProcess() as worker:
        try:
            return trace_in_worker(worker, path, backend, courses, timeout=_LONGEST)
        except BackendError as error:
            raise _failed(backend, str(error)) from None


def replay_in_process(path: Path, backend: str) -> float:
    """Load the file at `path` on `backend` and replay its golden sequence, in a process of its own.

    Returns:
        The largest difference from the recorded answers.

    Raises:
        BackendError: The process failed or crashed, or an answer is wrong; what it said is in the message.
    """
    return float(_run("replay", backend, model=str(path), backend=backend))


@lru_cache
def _probe() -> dict[str, str | None]:
    found: dict[str, str | None] = _run("probe", "")
    return found


def _run(command: str, backend_name: str, **arguments: str) -> Any:
    with _AT_ONCE:
        found = run_worker(command, timeout=_LONGEST, **arguments)
    if found.failure is not None:
        raise _failed(backend_name, found.failure)
    return found.value


def _failed(backend: str, failure: str) -> BackendError:
    who = describe_backend(backend) if backend else "The runtime"
    return BackendError(f"{who} failed in a process of its own: {failure}")
