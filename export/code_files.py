"""Files of code: C, JavaScript and a page, made of a model file and compared with Keras like every other file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runtime.common.atomic_write import atomic_write
from ..runtime.format.model_file import ModelFile, read_model_file
from .c.compiler import SANITIZED, CompiledStep, find_compiler
from .c.names import check_name, name_for
from .c.runs import first_steps
from .c.source import c_source
from .ops.precision import FLOAT32
from .parity.check import compare, require
from .parity.expected import Expected
from .parity.parity import EACH, Parity
from .web.javascript import javascript_module
from .web.node import NodeStep, node_version
from .web.page import web_page

_SUFFIXES = {"c": (".h", ".c"), "js": (".js",), "html": (".html",)}
_SANITIZED_STEPS = 200


@dataclass(frozen=True)
class CodeFiles:
    """Files of code that were compared with Keras.

    Attributes:
        paths: The files.
        parity: The measurements.
        notes: What they cost, and how far they are from Keras, in sentences.
    """

    paths: tuple[Path, ...]
    parity: tuple[Parity, ...]
    notes: tuple[str, ...]


def code_file_names(formats: Sequence[str], name: str) -> list[str]:
    """Return the names of the files of the `formats` that are code, of a model called `name`.

    Raises:
        OptionError: The name is no identifier.
        CompilerError: What they are proven with is not on this machine.
    """
    if "c" in formats:
        find_compiler()
    if {"js", "html"} & set(formats):
        node_version()
    stem = check_name(name_for(name))
    return [f"{stem}{suffix}" for format, suffixes in _SUFFIXES.items() if format in formats for suffix in suffixes]


def build_code(
    path: Path, formats: Sequence[str], expected: Expected, workdir: Path, progress: Callable[[str], None]
) -> CodeFiles:
    """Write the model file at `path` as code into `workdir`, and compare it with the expected runs.

    Args:
        path: A float32 model file.
        formats: "c", "js", "html": the code to write.
        expected: The runs of its model.
        workdir: A folder.
        progress: Called with a text at the start of each piece of work.

    Raises:
        NotSteppableError: There is no code for something in the file.
        CompilerError, BackendError: The code does not compile or run.
        ParityError: It does not answer as Keras does.
    """
    file = read_model_file(path)
    name = name_for(file.manifest.name)
    texts: dict[str, str] = {}
    parity: list[Parity] = []
    notes: list[str] = []
    if "c" in formats:
        source = c_source(file, name)
        texts |= {f"{name}.h": source.header, f"{name}.c": source.body}
        version = find_compiler().version
        progress(f"stepping the C of it, compiled by {version}")
        with tempfile.TemporaryDirectory(prefix="stepcell-c-") as folder:
            compiled = CompiledStep(source, file.manifest, Path(folder))
            sanitized = CompiledStep(source, file.manifest, Path(folder), SANITIZED)
            for run in expected.runs.values():
                sanitized.trace(first_steps(run.spec, _SANITIZED_STEPS))
            found = _compare(file, expected, compiled, "c", f"C, {version}")
        use = source.memory_use
        notes.append(
            f"{name}.c: {_worst(found)} from Keras, compiled by {version}; {use.constants:,} bytes of constants, "
            f"{use.state:,} of state, {use.work:,} of scratch memory"
        )
        parity += found
    if {"js", "html"} & set(formats):
        module = javascript_module(file)
        progress("stepping the JavaScript of it in Node")
        with tempfile.TemporaryDirectory(prefix="stepcell-js-") as folder:
            runtime = f"JavaScript, Node {node_version()}"
            found = _compare(file, expected, NodeStep(module, file.manifest, Path(folder)), "js", runtime)
        if "js" in formats:
            texts[f"{name}.js"] = module
        if "html" in formats:
            texts[f"{name}.html"] = web_page(file)
        shown = ", ".join(f"{name}.{format}" for format in ("js", "html") if format in formats)
        notes.append(f"{shown}: {_worst(found)} from Keras, stepped by Node {node_version()}")
        parity += found
    for name_of_file, text in texts.items():
        atomic_write(workdir / name_of_file, text.encode())
    return CodeFiles(tuple(workdir / each for each in texts), tuple(parity), tuple(notes))


def _compare(
    file: ModelFile, expected: Expected, step: CompiledStep | NodeStep, format: str, runtime: str
) -> list[Parity]:
    results = [
        compare(expected, start, step.trace(run.spec), format, format, FLOAT32, runtime=runtime)
        for start, run in expected.runs.items()
    ]
    require(expected, Path(f"model.{format}"), results, file.manifest.vocabulary, "Nothing was written.")
    return results


def _worst(found: Sequence[Parity]) -> str:
    steps = max(entry.steps for entry in found if entry.start != EACH)
    return f"at most {max(entry.max_abs_error for entry in found):.1e} within {steps:,} carried steps"
