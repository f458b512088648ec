"""Answer requests on stdin: `python -m stepcell.runtime.worker`, started by `WorkerProcess`.

It steps files as on a device, without TensorFlow in the process. It ends at the end of its input, and within a second
when the process that started it is gone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import IO, Any

from ..common.errors import StepcellError
from ..common.run_worker import read_message, write_message
from ..format.model_file import TFLITE, read_model_file
from ..interpreters.golden import replay_golden
from ..interpreters.probe import probe_backends
from ..interpreters.registry import MICRO, NATIVE, NUMPY, open_any_file, open_backend, open_public_backend
from ..interpreters.tflm_backend import smallest_arena
from ..streams.model import load
from .measure import measure
from .messages import RunSpec, unpack_arrays
from .raw_graph import raw_runner, step_digests
from .trace import trace_all

_GLANCE = 1.0  # seconds between two looks whether the parent is there
Answer = tuple[Any, list[bytes]]  # a JSON value and byte strings


def probe() -> Answer:
    """Find out which backends work here: name -> None, or the reason why not."""
    return probe_backends(), []


def replay(model: str, backend: str) -> Answer:
    """Replay the golden sequence of the file `model` through every API of `backend`; return the largest difference."""
    file = read_model_file(model)
    opened = [open_backend(backend, file)]
    if file.format == TFLITE and backend not in (NUMPY, NATIVE, MICRO):
        opened.append(open_public_backend(backend, file))
    return max(replay_golden(one, file, backend) for one in opened), []


def trace(*specs: bytes, model: str, backend: str) -> Answer:
    """Step the file `model` as each `RunSpec` says; return a `RunResult` for each."""
    loaded = load(model, backend=backend, golden=False)
    return None, [found.to_bytes() for found in trace_all(loaded, [RunSpec.from_bytes(spec) for spec in specs])]


def measure_steps(model: str, backend: str) -> Answer:
    """Load the file `model`, replay its golden sequence and time its steps; see `measure`."""
    return measure(Path(model), backend), []


def arena(model: str) -> Answer:
    """Return the bytes of the smallest arena in which TensorFlow Lite Micro steps the file `model`."""
    return smallest_arena(read_model_file(model)), []


def open_file(model: str, backend: str) -> Answer:
    """Load the file `model`, with or without a manifest, and step nothing."""
    open_any_file(backend, Path(model).read_bytes(), Path(model).name)
    return None, []


def run_once(fed: bytes, model: str, backend: str, signature: str = "") -> Answer:
    """Run the graph of the file `model`, with or without a manifest, once; return the shape of each output."""
    run = raw_runner(backend, Path(model).read_bytes(), signature)
    return {name: array.shape for name, array in run(unpack_arrays(fed)).items()}, []


def step_raw(fed: bytes, model: str, backend: str, carried: dict[str, str]) -> Answer:
    """Step the graph of the file `model`, with or without a manifest; see `step_digests`."""
    return step_digests(raw_runner(backend, Path(model).read_bytes()), unpack_arrays(fed), carried), []


COMMANDS: dict[str, Callable[..., Answer]] = {
    "probe": probe, "replay": replay, "trace": trace, "measure": measure_steps, "arena": arena, "open": open_file,
    "run_once": run_once, "step_raw": step_raw,
}  # fmt: skip


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer `requests` in order until they end. An exception is the failure of one request."""
    while (request := read_message(requests)) is not None:
        head, blobs = request
        value, failure = None, None
        made: list[bytes] = []
        try:
            value, made = COMMANDS[head.pop("command")](*blobs, **head)
        except StepcellError as error:
            failure = str(error)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        write_message(answers, {"value": value, "failure": failure}, made)


def end_with_parent() -> None:
    """End this process soon after the one that started it was killed, also in the middle of a long request."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:  # on Windows it stays the same
            time.sleep(_GLANCE)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve stdin and stdout."""
    end_with_parent()
    # Interpreters may print to file descriptor 1: let that be stderr, and answer through a descriptor of our own.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
