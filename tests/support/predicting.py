"""`stepcell predict` on the memory model: what tests of it have in common."""

from __future__ import annotations

from functools import cache

from support.models import DATA
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import load, read_saved_streams

TFLITE, ONNX = str(DATA / "memory.tflite"), str(DATA / "memory.onnx")


SYMBOLS = "3012340124" * 12


def predict(*arguments, input="", model=TFLITE):
    return CliRunner().invoke(app, ["predict", model, *map(str, arguments)], input=input)


def on_lines(symbols):
    return "".join(f"{symbol}\n" for symbol in symbols)


def where(path):
    saved = read_saved_streams(path)
    return {key: (one.symbols_seen, one.state["c0"].tolist()) for key, one in saved.streams.items()}


def whole_run(tmp_path, symbols=SYMBOLS):
    """The bytes of the state that one run over all symbols leaves."""
    path = tmp_path / "whole.state"
    assert predict("--state", path, input=on_lines(symbols)).exit_code == 0
    return path


@cache
def expected_answers():
    """What the model answers to SYMBOLS, one after the other."""
    stream = load(TFLITE).stream()
    return [stream.step(symbol).symbol for symbol in SYMBOLS]


def append(path, text):
    with open(path, "a") as file:
        file.write(text)
