"""The command `stepcell adopt`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from ...runtime.commands import options as opt

_INFERRED = "inferred"
Number = TypeVar("Number", int, float)


def adopt(
    file: Annotated[Path, opt.argument("File of one step, .tflite or .onnx, from any program.")],
    out: Annotated[Path, opt.output("File to write; FILE itself is allowed.")],
    state: Annotated[list[str] | None, opt.model(
        "Input of a state and the output of its next value; repeatable.", _INFERRED, metavar="[NAME:]IN=OUT")] = None,
    symbol: Annotated[str | None, opt.model("Input that takes the symbol.", _INFERRED)] = None,
    feature: Annotated[list[str] | None, opt.model(
        "Input of numbers that come with each step; repeatable.", _INFERRED, metavar="NAME")] = None,
    constant: Annotated[list[str] | None, opt.model(
        "Input that gets the same number (or numbers, with commas) at every step; repeatable.", "none",
        metavar="NAME=VALUE")] = None,
    shape: Annotated[list[str] | None, opt.model(
        "Shape of an input for one step, where the file leaves it open; repeatable.", "1 for open dimensions",
        metavar="NAME=SIZES")] = None,
    output: Annotated[list[str] | None, opt.model(
        "Output that holds the prediction; given again, a further output.", _INFERRED, metavar="NAME")] = None,
    values: Annotated[bool, opt.model(
        "The outputs are values (estimates, spectra, samples), not probabilities.", flag="--values")] = False,
    rate: Annotated[int | None, opt.model(
        "Samples per second, where a feature is a chunk of sound.", "a constant named sr", min=1)] = None,
    activation: Annotated[Literal["softmax", "sigmoid", "logits"] | None, opt.model(
        "Activation of the output.", _INFERRED)] = None,
    signature: Annotated[str | None, opt.model("TFLite signature that computes one step.", "the only one")] = None,
    lift: Annotated[bool, opt.model(
        "Make inputs and outputs of the variables in which a .tflite file keeps its state, and prove that bit for bit "
        "over 1,000 steps.", flag="--lift")] = False,
    vocabulary: opt.Vocabulary = None,
    labels: opt.Labels = None,
    name: Annotated[str | None, opt.output("Name of the model.", "name of FILE")] = None,
    yes: Annotated[bool, opt.output("Accept what was inferred without a question.", flag="--yes")] = False,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Add a manifest to a step file of another program, after running it; then every command works on it.

    Inputs, outputs and pairs of states that are not given are inferred from operators, names and shapes, and shown with
    the reason; where these contradict one another, they are shown for confirmation.

    Example: stepcell adopt vad.onnx --feature input --shape input=1,576 --constant sr=16000 --values --out mine.onnx
    """
    from ...runtime.common.printable import printable_json
    from ...runtime.common.terminal import print_text
    from ...runtime.format.vocabulary import read_vocabulary
    from ..adopt import Adopted, InferredMapping
    from ..adopt import adopt as adopt_file

    def show_inferred(mapping: InferredMapping) -> None:
        for option, why in mapping.inferred:
            print_text(f"inferred: {option} ({why})", err=True)

    def confirm(mapping: InferredMapping) -> bool:
        show_inferred(mapping)
        if yes or not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
            return yes
        return typer.confirm("Is that right?", err=True)

    adopted = adopt_file(
        file, out, states=state or (), symbol=symbol, output=output or None, features=feature or (),
        constants=dict(_numbers("--constant", each, float) for each in constant or ()),
        shapes=dict(_numbers("--shape", each, int) for each in shape or ()),
        values=values, rate=rate, activation=activation,
        vocabulary=read_vocabulary(vocabulary) if vocabulary else None,
        labels=read_vocabulary(labels) if labels else None, name=name, signature=signature, lift=lift,
        confirm=confirm,
    )  # fmt: skip
    if not isinstance(adopted, Adopted):
        typer.echo("Nothing was written. Repeat the command with --yes, or with these or other pairs.", err=True)
        raise SystemExit(2)
    if adopted.mapping.is_certain:
        show_inferred(adopted.mapping)
    if as_json:
        print(printable_json({"file": str(adopted.path), "graph": adopted.manifest.to_json()["graph"]}))
        return
    for remark in adopted.remarks:
        print_text(remark)
    print(f"{adopted.path}  {adopted.path.stat().st_size:,} bytes, stepped on {' and '.join(adopted.runtimes)}")


def _numbers(option: str, text: str, kind: Callable[[str], Number]) -> tuple[str, tuple[Number, ...]]:
    """Return the name and the numbers of NAME=NUMBER,NUMBER..."""
    name, _, numbers = text.rpartition("=")
    try:
        found = tuple(map(kind, numbers.split(",")))
    except ValueError:
        found = ()
    if not name or not found or not all(map(isfinite, found)) or (kind is int and min(found) < 1):
        wanted = "NAME=SIZE,SIZE like input=1,576" if kind is int else "NAME=NUMBER like sr=16000"
        raise typer.BadParameter(f"{text!r} is not {wanted}", param_hint=option)
    return name, found
