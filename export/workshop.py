"""Where files are made: converted, stepped on every interpreter, compared with Keras, packed with what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

from ..runtime.common.atomic_write import atomic_write
from ..runtime.common.errors import ParityError
from ..runtime.format.manifest import Golden, Manifest
from ..runtime.format.model_file import ONNX, TFLITE, pack, unpack
from .onnx.convert import onnx_payload
from .onnx.sequence import sequence_payload
from .ops.precision import FLOAT32, INT8, SEQUENCE, container_of, file_name
from .parity.check import ParityCheck
from .parity.device_process import installed_backends, replay_in_process
from .parity.golden import golden_of, with_measured_tolerance
from .parity.parity import Parity
from .step_function.build import StepFunction
from .subject import Subject
from .tflite.convert import tflite_payload

_PAYLOADS: dict[str, Callable[[StepFunction, str], tuple[bytes, dict[str, int]]]] = {
    TFLITE: tflite_payload,
    ONNX: onnx_payload,
    SEQUENCE: sequence_payload,
}
Kind = tuple[str, str]  # precision, format


@dataclass(frozen=True)
class _Made:
    """A file that has been converted and is being measured."""

    path: Path
    format: str
    payload: bytes
    manifest: Manifest
    parity: Future[list[Parity]]


class Workshop:
    """Makes the files of one subject in a folder that is thrown away, or emptied, when all is done."""

    def __init__(self, subject: Subject, kinds: Sequence[Kind], progress: Callable[[str], None]) -> None:
        """Find the interpreters for `kinds` and make the golden sequences.

        Raises:
            NoInterpreterError: There is none for one of the formats.
        """
        self._subject, self._kinds, self._progress = subject, kinds, progress
        self._backends = {format: installed_backends(container_of(format), dict(kinds)) for _, format in kinds}
        self._goldens: dict[str, Golden] = {}

    def make(
        self, folder: Path, prepare: Callable[[], ParityCheck], allow_inaccurate: Sequence[str]
    ) -> tuple[list[Path], list[Parity]]:
        """Make all files in `folder`; return their paths and what was measured.

        Args:
            folder: Where to make them.
            prepare: Makes the check that they must pass, while they are converted.
            allow_inaccurate: Precisions that may be beyond their gates.

        Raises:
            StateMismatchError, NotSteppableError, ParityError: What `prepare` raises.
            ParityError: A file does not answer as Keras does.
            BackendError: An interpreter fails on a file.
        """
        self._goldens = {precision: golden_of(self._subject.step_function, precision) for precision, _ in self._kinds}
        finished: list[Path] = []
        measured: list[Parity] = []
        replays: list[Future[float]] = []
        refusals: dict[str, list[str]] = {}  # precision -> what was wrong with its files
        with _Measuring() as measuring:
            check = measuring.submit(prepare)
            files = [self._convert(folder, kind, check, measuring) for kind in self._kinds]
            for made in files:
                parity = made.parity.result()
                if not self._proven(made, parity, check.result(), allow_inaccurate, refusals):
                    continue
                self._seal(made, parity, measuring)
                measured += parity
                finished.append(made.path)
                backends = self._backends[made.format]
                replays += [measuring.submit(replay_in_process, made.path, backend) for backend in backends]
            for replay in replays:
                replay.result()
        if refusals:
            raise ParityError(_refused(refusals))
        return finished, measured

    def _convert(self, folder: Path, kind: Kind, check: Future[ParityCheck], measuring: ThreadPoolExecutor) -> _Made:
        """Write a file of `kind`, and let it be stepped while the next is converted."""
        precision, format = kind
        self._progress(f"converting to {precision} {format}")
        payload, requires = _PAYLOADS[format](self._subject.step_function, precision)
        manifest = replace(
            self._subject.manifest,
            golden=self._goldens[precision],
            quantization=precision,
            requires=requires,
            sequence=format == SEQUENCE,
        )
        path = folder / file_name(format, precision)
        atomic_write(path, pack(payload, manifest, container_of(format)))
        backends = self._backends[format]
        parity = measuring.submit(lambda: check.result().measure(path, format, backends, self._progress, precision))
        return _Made(path, format, payload, manifest, parity)

    def _proven(
        self,
        made: _Made,
        parity: Sequence[Parity],
        check: ParityCheck,
        allow_inaccurate: Sequence[str],
        refusals: dict[str, list[str]],
    ) -> bool:
        """Tell whether the file may be written; what is beyond the gate of its precision goes to `refusals`."""
        exact = made.manifest.quantization == FLOAT32
        try:
            check.require(made.path, parity, made.manifest.vocabulary, "Nothing was written." if exact else "")
        except ParityError as error:
            if exact:
                raise
            if made.manifest.quantization not in allow_inaccurate:
                refusals.setdefault(made.manifest.quantization, []).append(str(error))
                return False
        return True

    def _seal(self, made: _Made, parity: Sequence[Parity], measuring: ThreadPoolExecutor) -> None:
        """Write the file once more, with what was measured in it."""
        manifest = made.manifest
        if manifest.quantization == INT8:
            worst = max(measuring.map(replay_in_process, repeat(made.path), self._backends[made.format]))
            manifest = replace(manifest, golden=with_measured_tolerance(self._goldens[INT8], worst))
        manifest = replace(manifest, parity=tuple(entry.to_json() for entry in parity))
        content = pack(made.payload, manifest, container_of(made.format))
        unpack(content, made.path.name)
        atomic_write(made.path, content)


class _Measuring(ThreadPoolExecutor):
    """Lets interpreters step one file, each in a process of its own, while the next is converted."""

    def __exit__(self, *raised: Any) -> None:
        self.shutdown(cancel_futures=raised[0] is not None)


def _refused(refusals: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with quantised files, all of it, and what to do: `refusals` by precision."""
    problems = [problem for of_precision in refusals.values() for problem in of_precision]
    without = ", ".join(f"--quantize {name}" for name in refusals)
    accepting = " ".join(f"--allow-inaccurate {name}" for name in refusals)
    return "\n".join(
        [*problems, f"Nothing was written. Leave out {without}, or have the files as they are with: {accepting}"]
    )
