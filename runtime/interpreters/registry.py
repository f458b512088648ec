"""The backends by name, and how each is opened: interpreters, numpy where there is none, and the compiled engine."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from ... import __version__
from ..common.errors import BackendError, NoInterpreterError, StepcellError, WrongBackendError
from ..format.model_file import ONNX, TFLITE, ModelFile
from .base import Backend
from .forks import opening

NUMPY, NATIVE = "numpy", "native"
MICRO = "tflm"  # the format of .tflite files for TensorFlow Lite Micro, which the interpreters of .tflite step too
# Backend name -> (model formats, module of the backend here, distribution that must be installed, extra of stepcell).
# Within a format the first usable one is taken: ai-edge-litert is the faster interpreter (1.2x at 256 units float32,
# 3x with int8), and it does not mind a TensorFlow imported before it. numpy is always there, and slower than they are.
# The compiled engine is the fastest and the newest: it is taken if it is asked for by name.
_BACKENDS = {
    "litert": ((TFLITE, MICRO), ".tflite_backend", "ai-edge-litert", "stepcell[litert]"),
    "tflite": ((TFLITE, MICRO), ".tflite_backend", "tflite-runtime", "stepcell[tflite]"),
    "tflm": ((MICRO,), ".tflm_backend", "tflite-micro", "stepcell[tflm]"),
    "onnxruntime": ((ONNX,), ".onnx_backend", "onnxruntime", "stepcell[onnx]"),
    NUMPY: ((TFLITE, ONNX, MICRO), ".numpy_backend", "numpy", "stepcell"),
    NATIVE: ((TFLITE, ONNX, MICRO), ".native_backend", "compiled engine", "stepcell"),
}
BACKEND_NAMES = tuple(_BACKENDS)
BACKEND_FORMATS = {name: formats for name, (formats, *_) in _BACKENDS.items()}


def backends_for(format: str) -> tuple[str, ...]:
    """Return the names of the backends that can step files of `format`, the preferred one first."""
    return tuple(name for name, (formats, *_) in _BACKENDS.items() if format in formats)


def interpreters_for(format: str) -> tuple[str, ...]:
    """Return the names of those that run any graph, with a manifest or without: all but the compiled engine."""
    return tuple(name for name in backends_for(format) if name != NATIVE)


def interpreted_format(file: ModelFile) -> str:
    """Return the format of a file as `backends_for` takes it: `MICRO` for one of TensorFlow Lite Micro."""
    return file.format if file.manifest.micro is None else MICRO


def describe_backend(name: str) -> str:
    """Return distribution and version of the backend `name`, "ai-edge-litert 2.3.0" for example."""
    if name == NATIVE:
        return f"{_BACKENDS[name][2]} {__version__}"
    return f"{_BACKENDS[name][2]} {installed_version(_BACKENDS[name][2]) or ''}".rstrip()


def installed_version(distribution: str) -> str | None:
    """Return which version of `distribution` is installed, None where none is (Debian's packages may not say)."""
    from importlib.metadata import PackageNotFoundError, version  # takes a fifth of the time to import this package

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def open_backend(name: str, file: ModelFile, shared: object = None) -> Backend:
    """Load `file` into the interpreter `name`.

    Args:
        name: Which interpreter.
        file: The file.
        shared: `Backend.shared` of another backend of this name for this file, which then loads only what is its own.

    Raises:
        NoInterpreterError: It is not installed.
        BackendError: It is installed and cannot load the file.
        WrongBackendError: There is no backend of this name, or it is for another format.
    """
    able = backends_for(interpreted_format(file))
    if name == MICRO and name not in able and file.format == TFLITE:
        raise WrongBackendError(f"{file.name} is not for TensorFlow Lite Micro. Export the model with: --target tflm")
    if name not in able:
        names = ", ".join(map(repr, able))
        raise WrongBackendError(f"Backend {name!r} does not step .{file.format} files; these do: {names}.")
    backend: Backend = _call(name, file.name, "open_backend", file, shared)
    return backend


def open_public_backend(name: str, file: ModelFile) -> Backend:
    """Load a .tflite `file` into the interpreter `name` to be stepped through its public API alone.

    Raises:
        NoInterpreterError, BackendError: As `open_backend` does.
    """
    backend: Backend = _call(name, file.name, "open_backend", file, None, True)
    return backend


def open_two_phase_backend(name: str, file: ModelFile, shared: object = None) -> Backend:
    """Load `file` into the compiled engine to be stepped in two phases: the answer first, the rest later.

    Args:
        name: Which backend; only "native" has two phases.
        file: The file.
        shared: As for `open_backend`, of another backend that steps in two phases.

    Raises:
        NoInterpreterError, BackendError: As `open_backend` does.
        WrongBackendError: It is another backend, or nothing of a step of this file can be done beforehand.
    """
    if name != NATIVE:
        raise WrongBackendError(
            f"{_BACKENDS[name][2]} does all of a step before its answer. For low_latency load {file.name} with "
            f"backend={NATIVE!r}."
        )
    backend: Backend = _call(name, file.name, "open_two_phase_backend", file, shared)
    return backend


def open_any_file(name: str, content: bytes, file_name: str) -> Any:
    """Load a file of any origin into the interpreter `name` and return the interpreter.

    What is damaged may crash the process, so call this in one of its own.

    Raises:
        NoInterpreterError: The interpreter is not installed.
        BackendError: It cannot load the file.
    """
    return _call(name, file_name, "open_interpreter", content)


def _call(name: str, file_name: str, function: str, content: ModelFile | bytes, *more: object) -> Any:
    """Call `function` of the module of the backend `name`, and convert its exceptions to StepcellError."""
    _, module, distribution, extra = _BACKENDS[name]
    try:
        opener = getattr(import_module(module, __package__), function)
        with opening:
            return opener(name, content, *more)
    except ImportError as error:
        raise NoInterpreterError(
            f"The backend {name!r} needs {distribution} ({error}). Install it: pip install '{extra}'"
        ) from error
    except StepcellError:
        raise
    except Exception as error:  # interpreters raise whatever they like: RuntimeError, ValueError, their own classes
        hint = ""
        if name == "tflite" and "tensorflow" in sys.modules:
            hint = ". It cannot in a process that imported TensorFlow before it: use ai-edge-litert there"
        raise BackendError(f"{describe_backend(name)} cannot load {file_name}: {error}{hint}") from error


def open_any_backend(file: ModelFile) -> tuple[str, Backend]:
    """Load `file` into the first interpreter that takes it, or else into numpy; return its name and the backend.

    Raises:
        NoInterpreterError: No interpreter is installed for this format, and numpy alone does not do.
        BackendError: Some are installed and nothing can load the file; what each said is in the message.
    """
    failures = []
    missing = 0
    able = interpreters_for(interpreted_format(file))
    for name in able:
        try:
            return name, open_backend(name, file)
        except NoInterpreterError:
            missing += 1
        except BackendError as error:
            failures.append(str(error))
    if missing + 1 < len(able):
        raise BackendError("\n".join(failures))
    extra = {TFLITE: "stepcell[tflite]", ONNX: "stepcell[onnx]"}[file.format]
    raise NoInterpreterError("\n".join([*failures, f"It needs an interpreter. Install one: pip install '{extra}'"]))


def drop_numpy_fallback(names: Iterable[str]) -> tuple[str, ...]:
    """Return `names` of backends without numpy, unless no interpreter is among them."""
    given = tuple(names)
    return tuple(name for name in given if name != NUMPY) if set(given) - {NUMPY, NATIVE} else given
