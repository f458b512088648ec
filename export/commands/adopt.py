"""The command `stepcell adopt`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...runtime.commands import options as opt

_INFERRED = "inferred"


def adopt(
    file: Annotated[Path, opt.argument("File of one step, .tflite or .onnx, from any program.")],
    out: Annotated[Path, opt.output("File to write; FILE itself is allowed.")],
    state: Annotated[list[str] | None, opt.model(
        "Input of a state and the output of its next value; repeatable.", _INFERRED, metavar="[NAME:]IN=OUT")] = None,
    symbol: Annotated[str | None, opt.model("Input that takes the symbol.", _INFERRED)] = None,
    output: Annotated[str | None, opt.model("Output that holds the prediction.", _INFERRED)] = None,
    activation: Annotated[Literal["softmax", "sigmoid", "logits"] | None, opt.model(
        "Activation of the output.", _INFERRED)] = None,
    signature: Annotated[str | None, opt.model("TFLite signature that computes one step.", "the only one")] = None,
    vocabulary: opt.Vocabulary = None,
    labels: opt.Labels = None,
    name: Annotated[str | None, opt.output("Name of the model.", "name of FILE")] = None,
    yes: Annotated[bool, opt.output("Accept inferred pairs of states without a question.", flag="--yes")] = False,
    as_json: opt.AsJson = False,
) -> None:  # fmt: skip
    """Add a manifest to a step file of another program, after running it; then every command works on it.

    Pairs of states that are not given are inferred from names and shapes and shown for confirmation.

    Example: stepcell adopt foreign.tflite --out mine.tflite --state h_in=h_out --vocabulary symbols.txt
    """
    from ...runtime.common.printable import printable_json
    from ...runtime.common.terminal import print_text
    from ...runtime.format.vocabulary import read_vocabulary
    from ..adopt import Adopted, InferredMapping
    from ..adopt import adopt as adopt_file

    def confirm(mapping: InferredMapping) -> bool:
        for pair in mapping.inferred:
            print_text(f"inferred: --state {pair}", err=True)
        if yes or not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
            return yes
        return typer.confirm("Is that right?", err=True)

    adopted = adopt_file(
        file, out, states=state or (), symbol=symbol, output=output,
        activation=activation,
        vocabulary=read_vocabulary(vocabulary) if vocabulary else None,
        labels=read_vocabulary(labels) if labels else None, name=name, signature=signature, confirm=confirm,
    )  # fmt: skip
    if not isinstance(adopted, Adopted):
        typer.echo("Nothing was written. Repeat the command with --yes, or with these or other pairs.", err=True)
        raise SystemExit(2)
    if as_json:
        print(printable_json({"file": str(adopted.path), "graph": adopted.manifest.to_json()["graph"]}))
        return
    for remark in adopted.remarks:
        print_text(remark)
    print(f"{adopted.path}  {adopted.path.stat().st_size:,} bytes, stepped on {' and '.join(adopted.runtimes)}")
