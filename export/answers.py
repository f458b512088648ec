"""What exported files answer on every interpreter that is installed, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..runtime.backend import describe_backend, initial_state
from ..runtime.inputs import Inputs
from ..runtime.model_file import read_model_file
from ..runtime.trajectory import Course
from .device_process import installed_backends, trace_in_process


def answers_table(files: Sequence[Path], sequences: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: what each file on each interpreter answers to the last but one symbol of each sequence.

    Args:
        files: Model files.
        sequences: Symbols; each sequence is stepped from the initial state up to its last symbol, exclusive.

    Raises:
        BackendError: An interpreter fails on a file.
        UnknownSymbolError: A symbol is not in the vocabulary of a file.
    """
    rows = []
    for path in files:
        manifest = read_model_file(path).manifest
        outputs = manifest.labels or manifest.vocabulary
        courses = {
            str(number): Course(Inputs(manifest.vocabulary.encode_all(sequence[:-1])), initial_state(manifest.state))
            for number, sequence in enumerate(sequences)
        }
        for backend in installed_backends(path.suffix[1:]):
            found = trace_in_process(path, backend, courses)
            last = [found[name].probabilities[-1] for name in courses]
            answers = [f"{outputs.decode(int(answer.argmax()))}  ({answer.max():.3f})" for answer in last]
            rows.append([path.name, describe_backend(backend), *answers])
    asked = [f"after {','.join(s[:-2])} the symbol {s[-2]} is answered by" for s in sequences]
    return ["file", "runtime", *asked], rows
