"""Comparison of the files of an export: sizes, errors and speeds, and which file to use on which runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...runtime.interpreters.registry import MICRO
from ..ops.precision import FLOAT32, SEQUENCE, TFLM, file_name
from .parity import EACH, InUnits, Parity

# A less exact file has to earn its place: by speed that is more than noise, or by size without a loss of speed.
_FASTER, _AS_FAST, _SAME_ANSWERS = 1.25, 0.87, 0.9995
_SMALL_NOISE = 0.01  # relative error of values that a smaller file may have


@dataclass(frozen=True)
class Choice:
    """One file on one runtime.

    Attributes:
        file: Its name.
        runtime: Interpreter and version.
        quantization: Precision of its weights.
        size: Bytes of the file.
        microseconds: Time of a step with the state carried; for a graph of sequences, of a symbol in a block of them.
        error: Largest difference of a probability from Keras, over both carried sequences.
        agreement: Smallest share of equal answers, over the same; None: the model answers with values alone.
        nll_change: The change of the NLL that is farther from 0, in nats; None: the main output is of values.
        growth: Mean error of the last tenth of the steps over that of the first, from the initial state.
        holds: It is within the tolerance of its precision.
        noise: Largest relative error of values, over the same; None: no output is of values.
        in_units: The value that is farthest off as a share of its range; None: no output is of values.
    """

    file: str
    runtime: str
    quantization: str
    size: int
    microseconds: float
    error: float
    agreement: float | None
    nll_change: float | None
    growth: float
    holds: bool
    noise: float | None = None
    in_units: InUnits | None = None

    @property
    def is_as_good(self) -> bool:
        """Whether its answers are as good as those of an exact file: the same, and values hardly off."""
        same = self.agreement is None or self.agreement >= _SAME_ANSWERS
        return same and (self.noise is None or self.noise <= _SMALL_NOISE)

    @property
    def loss(self) -> str:
        """What the answers lose, in words."""
        found = []
        if self.agreement is not None:
            differ = f"{100 * (1 - self.agreement):.2g} % of the answers differ"
            found.append("the same answers" if self.agreement >= _SAME_ANSWERS else differ)
        if self.noise is not None:
            found.append(f"values with a relative error of {100 * self.noise:.2g} %")
        return ", ".join(found)


def choices(parity: Sequence[Parity], sizes: Mapping[str, int]) -> list[Choice]:
    """Return one entry per runtime and file, runtime by runtime, the most exact first.

    Args:
        parity: The measurements.
        sizes: Name of each file -> its bytes.
    """
    grouped: dict[str, dict[str, list[Parity]]] = {}  # runtime -> file -> entries
    for entry in parity:
        name = file_name(entry.format, entry.quantization)
        # Code is no model file, and has a note of its own; a file for a microcontroller is not for other interpreters.
        if name in sizes and (entry.format != TFLM or entry.backend == MICRO):
            grouped.setdefault(entry.runtime, {}).setdefault(name, []).append(entry)
    return [_choice(file, entries, sizes[file]) for files in grouped.values() for file, entries in files.items()]


def _choice(file: str, entries: Sequence[Parity], size: int) -> Choice:
    carried = [entry for entry in entries if entry.start != EACH]
    first = carried[0]
    return Choice(
        file=file,
        runtime=first.runtime,
        quantization=first.quantization,
        size=size,
        microseconds=min(entry.microseconds for entry in carried if entry.microseconds is not None),
        error=max(entry.max_abs_error for entry in carried),
        agreement=min((e.argmax_agreement for e in carried if e.argmax_agreement is not None), default=None),
        nll_change=max((e.nll_change for e in carried if e.nll_change is not None), key=abs, default=None),
        growth=first.error_last_tenth / max(first.error_first_tenth, 1e-12),
        holds=all(entry.holds for entry in entries),
        noise=max((e.value_noise for e in carried if e.value_noise is not None), default=None),
        in_units=max((each for e in carried for each in e.in_units), key=lambda each: each.share, default=None),
    )


def answer_columns(parity: Sequence[Parity]) -> tuple[list[str], list[list[str]]]:
    """Return the columns about answers that these models have, and their cells: one list for each of `parity`."""
    worst = [max(entry.in_units, key=lambda each: each.share, default=None) for entry in parity]
    entries = zip(parity, worst, strict=True)
    return _answer_columns([(e.argmax_agreement, e.nll_change, e.value_noise, units) for e, units in entries])


def _answer_columns(
    rows: Sequence[tuple[float | None, float | None, float | None, InUnits | None]],
) -> tuple[list[str], list[list[str]]]:
    names = ("same answer", "change of NLL", "relative error", "error in units, range")
    shown = [index for index in range(len(names)) if any(row[index] is not None for row in rows)]
    cells = [
        [
            "" if agreement is None else f"{100 * agreement:.2f} %",
            "" if nll is None else f"{nll:+.1e} nats",
            "" if noise is None else f"{100 * noise:.2g} %",
            "" if units is None else f"{units.error:.2g}, {units.range:.4g}",
        ]
        for agreement, nll, noise, units in rows
    ]
    return [names[index] for index in shown], [[row[index] for index in shown] for row in cells]


def comparison_table(parity: Sequence[Parity], sizes: Mapping[str, int]) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows and a note: the cost of every file on every runtime.

    Args:
        parity: The measurements of several files.
        sizes: Name of each file -> its bytes.
    """
    found = choices(parity, sizes)
    extra, figures = _answer_columns([(one.agreement, one.nll_change, one.noise, one.in_units) for one in found])
    what = "probabilities" if "same answer" in extra else "values"
    header = ["runtime", "file", "bytes", "us a step", what, "growth", *extra]
    rows = [
        [
            choice.runtime,
            choice.file + ("" if choice.holds else " *"),
            f"{choice.size:,}",
            f"{choice.microseconds:.1f}",
            f"{choice.error:.1e}",
            f"x {choice.growth:.2f}",
            *cells,
        ]
        for choice, cells in zip(found, figures, strict=True)
    ]
    steps = max(entry.steps for entry in parity if entry.start != EACH)
    note = (
        f"against Keras, worst of {steps:,} steps carried from the initial and from a random state; growth: mean error "
        "of the last tenth over the first"
    )
    if "relative error" in extra:
        note += (
            "\nvalues: largest difference as a share of the range; relative error: root mean square difference over "
            "the standard deviation;\nerror in units, range: of the value that is farthest off, in its own units"
        )
    if any(row[1].endswith("*") for row in rows):
        note += "\n* beyond the tolerance of its precision, written because of --allow-inaccurate"
    return header, rows, note


def recommendations(parity: Sequence[Parity], sizes: Mapping[str, int]) -> list[str]:
    """Return a sentence per runtime with more than one file: which file to use there, and the reason.

    Args:
        parity: The measurements of several files.
        sizes: Name of each file -> its bytes.
    """
    found = choices(parity, sizes)
    sequence = file_name(SEQUENCE, FLOAT32)
    sentences = []
    for runtime in dict.fromkeys(choice.runtime for choice in found):
        here = [choice for choice in found if choice.runtime == runtime and choice.file != sequence]
        here = [choice for choice in here if suffix_of(choice) == suffix_of(here[0])]  # the compiled engine takes both
        if len(here) > 1:
            sentences.append(recommendation(here))
        sentences += [
            f"on {runtime} let {sequence} catch up on long histories: "
            f"{here[0].microseconds / whole.microseconds:.1f} times as fast a symbol as {here[0].file}"
            for whole in found
            if whole.file == sequence and whole.runtime == runtime and here
        ]
    return sentences


def suffix_of(choice: Choice) -> str:
    """Return the suffix of the file, which tells its format."""
    return choice.file.rpartition(".")[2]


def recommendation(here: Sequence[Choice]) -> str:
    """Return the recommendation for the files of one runtime, the float32 one first."""
    exact = best = here[0]
    for other in here[1:]:
        speed = best.microseconds / other.microseconds
        smaller = other.size < 0.9 * best.size
        if other.holds and (speed >= _FASTER or (smaller and speed >= _AS_FAST and other.is_as_good)):
            best = other
    if best is exact:
        return f"on {exact.runtime} use {exact.file}: no other file earns its loss of precision"
    speed = exact.microseconds / best.microseconds
    pace = "the same speed" if _AS_FAST <= speed < 1.15 else f"{speed:.1f} times as fast"
    return f"on {best.runtime} use {best.file}: {100 * best.size / exact.size:.0f} % of the size, {pace}, {best.loss}"
