"""Files of code: C, JavaScript and a page, made of a model file and compared with Keras like every other file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..runtime.common.atomic_write import atomic_write
from ..runtime.format.model_file import ModelFile, read_model_file
from ..runtime.worker.messages import RunResult
from .c.arithmetic import Arithmetic
from .c.compiler import SANITIZED, CompiledStep, find_compiler
from .c.names import check_name, name_for
from .c.prove import against_numpy, require_all
from .c.runs import first_steps
from .c.source import CSource, c_source
from .ops.precision import FLOAT32, INT8, file_name
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


def code_file_names(formats: Sequence[str], name: str, quantize: Sequence[str] = ()) -> list[str]:
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
    names = [f"{stem}{suffix}" for format, suffixes in _SUFFIXES.items() if format in formats for suffix in suffixes]
    return names + ([f"{stem}_{INT8}{suffix}" for suffix in _SUFFIXES["c"]] if _has_int8(formats, quantize) else [])


def _has_int8(formats: Sequence[str], quantize: Sequence[str]) -> bool:
    return "c" in formats and INT8 in quantize


def build_code(
    path: Path,
    formats: Sequence[str],
    expected: Expected,
    workdir: Path,
    progress: Callable[[str], None],
    *,
    quantize: Sequence[str] = (),
    fpu: bool = True,
    allow_inaccurate: Sequence[str] = (),
) -> CodeFiles:
    """Write the model file at `path` as code into `workdir`, and compare it with the expected runs.

    Args:
        path: A float32 model file.
        formats: "c", "js", "html": the code to write.
        expected: The runs of its model.
        workdir: A folder.
        progress: Called with a text at the start of each piece of work.
        quantize: With "int8" there is C with int8 weights beside that of float32.
        fpu: False: C looks up tanh, sigmoid and softmax in tables. It has to keep the tolerance of int8 then.
        allow_inaccurate: Precisions that are written even beyond their tolerance; "int8" goes for tables too.

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
    arithmetics = {name: Arithmetic(tables=not fpu)} if "c" in formats else {}
    if _has_int8(formats, quantize):
        arithmetics[f"{name}_{INT8}"] = Arithmetic(int8=True, tables=not fpu)
    for stem, arithmetic in arithmetics.items():
        source = c_source(file, stem, arithmetic)
        texts |= {f"{stem}.h": source.header, f"{stem}.c": source.body}
        version = find_compiler().version
        progress(f"stepping {stem}.c, compiled by {version}")
        found = _proven_c(file, source, expected, INT8 in allow_inaccurate)
        use = source.memory_use
        notes.append(
            f"{stem}.c: {_worst(found)} from Keras, compiled by {version}; {use.constants:,} bytes of constants, "
            f"{use.state:,} of state, {use.work:,} of scratch memory"
        )
        parity += found
    if {"js", "html"} & set(formats):
        module = javascript_module(file)
        progress("stepping the JavaScript of it in Node")
        with tempfile.TemporaryDirectory(prefix="stepcell-js-") as folder:
            runtime = f"JavaScript, Node {node_version()}"
            step = NodeStep(module, file.manifest, Path(folder))
            traces = {start: step.trace(run.spec) for start, run in expected.runs.items()}
            found = _compare(file, expected, traces, "js", runtime)
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


def _proven_c(file: ModelFile, source: CSource, expected: Expected, allow_inaccurate: bool) -> list[Parity]:
    """Compile C, compare it with Keras, and, where it rounds more than the file, with numpy that rounds alike."""
    specs = {start: run.spec for start, run in expected.runs.items()}
    with tempfile.TemporaryDirectory(prefix="stepcell-c-") as folder:
        compiled = CompiledStep(source, file.manifest, Path(folder))
        sanitized = CompiledStep(source, file.manifest, Path(folder), SANITIZED)
        for spec in specs.values():
            sanitized.trace(first_steps(spec, _SANITIZED_STEPS))
        traces = {start: compiled.trace(spec) for start, spec in specs.items()}
    runtime = ", ".join(["C", find_compiler().version, *(["no FPU"] if source.arithmetic.tables else [])])
    if source.arithmetic.is_exact:
        return _compare(file, expected, traces, "c", runtime)
    require_all(source, f"{source.name}.c", against_numpy(file, source.arithmetic, specs, traces))
    results = [compare(expected, start, trace, "c", "c", INT8, runtime=runtime) for start, trace in traces.items()]
    if not allow_inaccurate:
        remedy = (
            f"Nothing was written. Leave out {source.arithmetic.option}, or have it as it is with: --allow-inaccurate "
            f"{INT8}"
        )
        require(expected, Path(f"{source.name}.c"), results, file.manifest.vocabulary, remedy)
    # Tables alone leave the weights as they are; the tolerance is that of int8 for want of a closer one.
    return results if source.arithmetic.int8 else [replace(each, quantization=FLOAT32) for each in results]


def _compare(
    file: ModelFile, expected: Expected, traces: Mapping[str, RunResult], format: str, runtime: str
) -> list[Parity]:
    results = [compare(expected, start, trace, format, format, runtime=runtime) for start, trace in traces.items()]
    require(expected, Path(file_name(format, FLOAT32)), results, file.manifest.vocabulary, "Nothing was written.")
    return results


def _worst(found: Sequence[Parity]) -> str:
    steps = max(entry.steps for entry in found if entry.start != EACH)
    return f"at most {max(entry.max_abs_error for entry in found):.1e} within {steps:,} carried steps"
