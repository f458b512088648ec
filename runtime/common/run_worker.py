"""Worker processes of the runtime: no TensorFlow is in them, and a crash of an interpreter fails one request.

A message is a line of JSON, whose `sizes` are the lengths of the byte strings that follow it. A request has the name of
a `command` of `runtime/worker/__main__.py` and its arguments; the answer has a `value` and a `failure`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Timer
from time import monotonic
from typing import IO, Any

TIMEOUT = 120.0  # seconds
_COMMAND = (sys.executable, "-m", "stepcell.runtime.worker")
_CHATTER = ("INFO:", "WARNING:", "W0000", "I0000")  # from interpreters on stderr, although nothing is wrong
_SHOWN = 80  # bytes of a line that is no message
_PATIENCE = 5.0  # seconds for a process to end after the end of its input


@dataclass(frozen=True)
class WorkerResult:
    """Answer to a request.

    Attributes:
        value: A JSON value; None if the request failed.
        blobs: Byte strings that came with it.
        failure: Why the request failed, in words; None if it did not.
    """

    value: Any = None
    blobs: tuple[bytes, ...] = ()
    failure: str | None = None


class MessageError(ValueError):
    """A line is not the head of a message: something else writes to the stream."""


class WorkerProcess:
    """A process that answers requests until it is closed, or until this process ends.

    It starts at the first request, and again at the first request after a crash. Requests of several threads are
    answered one after the other.
    """

    def __init__(self, command: Sequence[str] = _COMMAND, environment: Mapping[str, str] | None = None) -> None:
        """Prepare a worker; nothing is started yet.

        Args:
            command: The command line of a program that answers requests on stdin and stdout.
            environment: Its environment variables; None: those of this process.
        """
        self._command, self._environment = command, environment
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None  # stderr of the process, read when it has ended

    def __enter__(self) -> WorkerProcess:
        """Return the worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the worker."""
        self.close()

    def close(self) -> None:
        """End the process, if there is one. A later request starts another."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)

    def request(self, command: str, *blobs: bytes, timeout: float = TIMEOUT, **arguments: Any) -> WorkerResult:
        """Send a request and wait for its answer.

        Args:
            command: Name of a command of the worker.
            blobs: Byte strings for it.
            timeout: Seconds after which the process is killed and the request has failed.
            arguments: JSON values for the command.
        """
        with self._lock:
            process = self._process = self._process or self._start()
            timer = Timer(timeout, process.kill)
            timer.start()
            begin = monotonic()
            try:
                answer = _exchange(process, {"command": command, **arguments}, blobs)
            except MessageError as error:
                process.kill()
                self._end(process)
                return WorkerResult(failure=f"gave an answer that is no message ({error})")
            except BaseException:  # Ctrl-C: a late answer must not become that of the next request
                process.kill()
                self._end(process)
                raise
            finally:
                timer.cancel()
            if answer is not None:
                return answer
            ended = self._end(process)
            late = monotonic() - begin >= timeout
            return WorkerResult(failure=f"gave no answer within {timeout:g} seconds" if late else ended)

    def _start(self) -> subprocess.Popen[bytes]:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `_end` closes it
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=self._environment
        )

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end of `process`, which its closed input asks for, and return in words how it ended."""
        self._process = None
        requests, answers = _pipes(process)
        with suppress(OSError):  # there may be a rest to flush, and the process may be dead
            requests.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        answers.close()
        assert self._log is not None, "it was opened with the process"
        with self._log as log:
            log.seek(0)
            text = log.read().decode(errors="replace")
        if process.returncode < 0:
            return f"crashed (signal {-process.returncode})"
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(_CHATTER)]
        if any(line.startswith("Traceback (most recent call last):") for line in lines):
            lines = lines[-1:]
        return " ".join(lines) or f"ended with exit code {process.returncode}"


def run_worker(command: str, *blobs: bytes, timeout: float = TIMEOUT, **arguments: Any) -> WorkerResult:
    """Send one request to a process of its own. See `WorkerProcess.request`."""
    with WorkerProcess() as worker:
        return worker.request(command, *blobs, timeout=timeout, **arguments)


def write_message(stream: IO[bytes], head: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write a message to `stream` and flush it."""
    line = json.dumps({**head, "sizes": [len(blob) for blob in blobs]}).encode()
    stream.write(b"".join([line, b"\n", *blobs]))
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], tuple[bytes, ...]] | None:
    """Read a message from `stream`; None if it ends before one is complete.

    Raises:
        MessageError: There is something else in the stream.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        head: dict[str, Any] = json.loads(line)
        sizes = list(map(int, head.pop("sizes")))
    except (ValueError, TypeError, AttributeError, KeyError):
        raise MessageError(repr(line[:_SHOWN])) from None
    blobs = tuple(stream.read(size) for size in sizes)
    return (head, blobs) if [len(blob) for blob in blobs] == sizes else None


def _exchange(process: subprocess.Popen[bytes], head: Mapping[str, Any], blobs: Sequence[bytes]) -> WorkerResult | None:
    """Send a request to `process` and return its answer; None if it ended first."""
    requests, answers = _pipes(process)
    try:
        write_message(requests, head, blobs)
    except OSError:  # BrokenPipeError; on Windows another one
        return None
    answer = read_message(answers)
    return None if answer is None else WorkerResult(**answer[0], blobs=answer[1])


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None, "it was started with pipes"
    assert process.stdout is not None, "it was started with pipes"
    return process.stdin, process.stdout
