"""Write a model file as C: NAME.h and NAME.c, or one header, after their proof."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from ...runtime.common.atomic_write import atomic_write, make_folder
from ...runtime.common.errors import OptionError
from ...runtime.format.model_file import read_model_file
from ..ops.precision import INT8
from .arithmetic import Arithmetic
from .names import name_for
from .packages import PACKAGES, package_files
from .prove import STEPS, Comparison, prove_source
from .source import CSource, c_source


@dataclass(frozen=True)
class WrittenC:
    """C that was written.

    Attributes:
        files: The files.
        source: Their content, and the plan of the step.
        comparisons: The measurements; none if it was not proven.
    """

    files: tuple[Path, ...]
    source: CSource
    comparisons: tuple[Comparison, ...]


def write_c(
    path: str | Path,
    folder: str | Path,
    *,
    name: str | None = None,
    single_header: bool = False,
    package: str | None = None,
    quantize: str | None = None,
    fpu: bool = True,
    allow_inaccurate: bool = False,
    proven: bool = True,
    steps: int = STEPS,
    progress: Callable[[str], None] = lambda _: None,
) -> WrittenC:
    """Write a model file as C: one step with explicit state, without allocation and without libraries but libm.

    The C is compiled with the C compiler of this machine, stepped, and compared with every interpreter of the file that
    is installed here, and with numpy in float64; only then is it written.

    Args:
        path: A model file of one step.
        folder: Where to write; made if it is not there. Files of the same names are replaced.
        name: Begins the names of functions and files; None: that of the model.
        single_header: Write NAME.h alone, with the functions in it, for one source file to include.
        package: Write the folder of a library instead: "arduino", "platformio", "zephyr" or "esp-idf".
        quantize: "int8": store the weights of products and tables in 8 bits, with a scale for each column; weights of
            an int8 file are kept as they are. What they are multiplied with is brought to 16 bits at each step.
        fpu: Whether the core has a floating point unit. Without, hyperbolic tangent, logistic and softmax are looked up
            in tables.
        allow_inaccurate: Write C that rounds more than its file even if an int8 file would be refused for it.
        proven: Whether to compile and compare.
        steps: Steps that carry the state in the comparison.
        progress: Called with a text at the start of each piece of work.

    Raises:
        ModelFileError, ModelFileNotFoundError: The file cannot be read.
        NotSteppableError: There is no C for something in it; all of it is named.
        OptionError: `name` is no identifier of C, or there is no such package or precision.
        CompilerError: There is no compiler, or it refuses the C.
        BackendError: The compiled program or an interpreter failed.
        ParityError: The C answers otherwise than the file.
        OutputError: The folder cannot be written.

        Whatever is raised, nothing has been written.
    """
    if package is not None and (single_header or package not in PACKAGES):
        wrong = "they do not go together: single_header, package" if single_header else f"there is no {package!r}"
        raise OptionError(f"The package cannot be written ({wrong}). Give one of {', '.join(PACKAGES)}.")
    if quantize not in (None, INT8):
        raise OptionError(f"Weights of C cannot be stored as {quantize!r}. Give {INT8}, or nothing for float32.")
    file = read_model_file(path)
    arithmetic = Arithmetic(int8=quantize == INT8, tables=not fpu)
    source = c_source(file, name_for(file.manifest.name) if name is None else name, arithmetic)
    comparisons: list[Comparison] = []
    if proven:
        with tempfile.TemporaryDirectory(prefix="stepcell-c-") as workdir:
            comparisons = prove_source(
                source, Path(path), Path(workdir), steps=steps, allow_inaccurate=allow_inaccurate, progress=progress
            )
    contents = {f"{source.name}.h": source.header, f"{source.name}.c": source.body}
    if single_header:
        contents = {f"{source.name}.h": source.single_header}
    if package is not None:
        contents = package_files(source, file.manifest, package)
    return WrittenC(_write(contents, Path(folder)), source, tuple(comparisons))


def _write(contents: Mapping[str, str], folder: Path) -> tuple[Path, ...]:
    for path in dict.fromkeys((folder / name).parent for name in contents):
        make_folder(path)
    for name, text in contents.items():
        atomic_write(folder / name, text.encode())
    return tuple(folder / name for name in contents)


def comparison_rows(written: WrittenC) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows and a note of a table of the comparisons."""
    header = ["compared with", "start", "steps", "outputs", "states", "allowed"]
    rows = [
        [
            each.runtime,
            each.start,
            f"{each.steps:,}",
            f"{each.error:.1e}",
            f"{each.state_error:.1e}" if each.state_error else "",
            f"{each.allowed:.1e}" if isfinite(each.allowed) else "as int8" if not each.missed else "more than int8",
        ]
        for each in written.comparisons
    ]
    note = "largest differences, relative for numbers above 1; allowed: 1e-5, or ten times the rounding of float32"
    if not written.source.arithmetic.is_exact:
        note = (
            "largest differences, relative for numbers above 1; allowed: ten times what such rounding costs in numpy; "
            "as int8: 98 % of the answers the same, the NLL within 0.01, values with 5 % of noise"
        )
    return header, rows, note
