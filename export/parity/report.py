"""Reports of measured parity: parity.json for programs, tables and a picture for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path

from ... import __version__
from ...runtime.common.errors import MissingPackageError
from ...runtime.common.plotting import new_figure, to_png
from ...runtime.format.model_file import read_model_file
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.registry import describe_backend
from ...runtime.streams.prediction import Prediction
from ...runtime.worker.messages import RunSpec
from ..ops.precision import FLOAT32, file_name
from ..sources.provenance import Proof
from .comparison import answer_columns, recommendations
from .device_process import DeviceProcesses, installed_backends, those_that_take
from .parity import EACH, Parity
from .tolerance import TOLERANCES, Tolerance

_STARTS = {"initial": "initial, carried", "random": "random, carried", "each": "given at each step"}
_COLOURS = {"initial": "tab:blue", "random": "tab:orange"}
_UNITS = "differences are shares of the range of each number; error in units: of the value that is farthest off\n"
_SMALLEST = 1e-9  # below float32; an error of 0 has no place on a logarithmic scale
_POINTS = 500  # per line: each is the largest error of as many steps as fall together


def answers_table(files: Sequence[Path], sequences: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: the answer of each file on each interpreter to the last but one symbol of each sequence.

    Args:
        files: Model files.
        sequences: Symbols; each sequence is stepped from the initial state up to its last symbol, exclusive.

    Raises:
        BackendError: An interpreter fails on a file.
        UnknownSymbolError: A symbol is not in the vocabulary of a file.
    """
    rows = []
    with DeviceProcesses() as device:
        for path in files:
            manifest = read_model_file(path).manifest
            specs = {
                str(number): RunSpec(
                    Inputs(manifest.vocabulary.encode_all(symbols[:-1])), initial_state(manifest.state)
                )
                for number, symbols in enumerate(sequences)
            }
            for backend in those_that_take(path, installed_backends(path.suffix[1:])):
                last = [found.probabilities[-1] for found in device.trace(path, backend, specs).values()]
                made = [Prediction(answer, manifest.output_symbols) for answer in last]
                answers = [f"{one.symbol}  ({one.probability:.3f})" for one in made]
                rows.append([path.name, describe_backend(backend), *answers])
    asked = [f"after {','.join(s[:-2])} the symbol {s[-2]} is answered by" for s in sequences]
    return ["file", "runtime", *asked], rows


def parity_report(
    name: str,
    sizes: Mapping[str, int],
    parity: Sequence[Parity],
    rebuilt: Proof | None = None,
    notes: Sequence[str] = (),
) -> bytes:
    """Return the content of parity.json.

    Args:
        name: Name of the model.
        sizes: Bytes of each file by its name.
        parity: The measurements.
        rebuilt: The proof of a model that was rebuilt from an old file.
        notes: What else is to be known, in sentences.
    """
    import keras

    report = {
        "name": name,
        "producer": f"stepcell {__version__}",
        "reference": rebuilt.reference if rebuilt else f"keras {keras.__version__}",
        **({"rebuilt": {"sequences": rebuilt.sequences, "max_error": rebuilt.max_error}} if rebuilt else {}),
        **({"notes": list(notes)} if notes else {}),
        "gates": {entry.quantization: TOLERANCES[entry.quantization].to_json() for entry in parity},
        "files": {file: {"bytes": size} for file, size in sizes.items()},
        "parity": [
            {"file": file_name(entry.format, entry.quantization), **entry.to_json(), "microseconds": entry.microseconds}
            for entry in parity
        ],
        "recommendations": recommendations(parity, sizes),
    }
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()


def draw_errors(title: str, parity: Sequence[Parity]) -> bytes:
    """Return a PNG: error of the probabilities against step, one panel per runtime, one line per start state.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    carried = [entry for entry in parity if entry.start != EACH]
    runtimes = list(dict.fromkeys(entry.runtime for entry in carried))
    figure = new_figure(9, 0.6 + 2.6 * len(runtimes))
    if figure is None:
        raise MissingPackageError(
            "Drawing needs matplotlib. Install it: pip install 'stepcell[plot]', or leave out --plot."
        )
    figure.suptitle(title)
    panels = figure.subplots(len(runtimes), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, runtime in zip(panels, runtimes, strict=True):
        for entry in (entry for entry in carried if entry.runtime == runtime):
            width = max(1, entry.steps // _POINTS)
            starts = range(0, entry.steps, width)
            largest = [max(float(entry.errors[at : at + width].max()), _SMALLEST) for at in starts]
            label = f"from the {entry.start} state: at most {entry.max_abs_error:.1e}"
            axes.semilogy([at + 1 for at in starts], largest, color=_COLOURS[entry.start], label=label, linewidth=0.8)
            limit = TOLERANCES[entry.quantization].error
        if limit < 1:
            axes.axhline(limit, color="tab:red", linestyle="--", linewidth=0.8, label=f"allowed: {limit:g}")
        axes.set(title=runtime, ylabel="error")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize="small")
    panels[-1].set(xlabel="step")
    return to_png(figure)


def parity_table(results: Sequence[Parity]) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows and a note: a row for each of `results`, one per file, runtime and start state."""
    extra, figures = answer_columns(results)
    what = "values" if "same answer" not in extra else "probabilities"
    header = [
        "file", "runtime", "state before", "steps", f"{what}, at", "state after", *extra, "first, last tenth",
    ]  # fmt: skip
    rows = [
        [
            parity.format if parity.quantization == FLOAT32 else f"{parity.format} {parity.quantization}",
            parity.runtime,
            _STARTS[parity.start],
            f"{parity.steps:,}",
            f"{parity.max_abs_error:.1e}, {parity.errors.argmax() + 1:,}",
            f"{parity.max_state_error:.1e}",
            *cells,
            "" if parity.start == EACH else f"{parity.error_first_tenth:.1e}, {parity.error_last_tenth:.1e}",
        ]
        for parity, cells in zip(results, figures, strict=True)
    ]
    limits = "; ".join(
        f"{name} {_limits(TOLERANCES[name], what)}" for name in dict.fromkeys(p.quantization for p in results)
    )
    note = (
        f"{what}, state after: largest difference from Keras, and its step; first, last tenth: mean over them\n"
        f"{_UNITS if what == 'values' else ''}"
        f"allowed: {limits}"
    )
    return header, rows, note


def _limits(tolerance: Tolerance, outputs: str) -> str:
    """Return the limits of `tolerance` in words; `outputs` is what they are."""
    limits = []
    if tolerance.error == tolerance.state:
        limits.append(f"{outputs} and states {tolerance.error:g}")
    else:
        limits += [f"{outputs} {tolerance.error:g}"] if tolerance.error < inf else []
        limits.append(f"state after a single step {tolerance.state:g}")
    if tolerance.agreement:
        limits.append(f"same answer from {100 * tolerance.agreement:g} %")
    if tolerance.nll < inf:
        limits.append(f"change of NLL {tolerance.nll:g} nats")
    if tolerance.noise < inf:
        limits.append(f"relative error {100 * tolerance.noise:g} %")
    return ", ".join(limits)
