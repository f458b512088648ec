"""Models whose manifest says how their training data were read, and the command that reads live lines with them."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import Vocabulary

from .models import changed_memory

END, UNKNOWN = "<end>", "<unknown>"
HOME = Vocabulary(("lamp=on", UNKNOWN, "gap<1min", "gap>=1min", END), UNKNOWN)
PLAIN = Vocabulary(("open", "pick", "ship", UNKNOWN, END), UNKNOWN)
READING = {
    "kind": "events", "symbol": ["entity", "state"], "sequence": "day", "order": "time", "gaps": "1min",
    "format": "csv", "delimiter": ",", "header": True,
}  # fmt: skip
HEADER = "entity,state,day,time,id\n"
ROWS = (
    "lamp,on,d0,2024-01-01T07:00:00,1\n",
    "lamp,on,d0,2024-01-01T07:00:30,2\n",
    "lamp,on,d0,2024-01-01T09:00:00,3\n",
)


def home_model(folder):
    """Events of two joined columns, with gaps, in sequences by day."""
    training = {"data": {"reading": READING, "end": END}}
    return changed_memory(folder / "home.tflite", vocabulary=HOME, training=training)


def plain_model(folder, kind="events", **data):
    """Events, one on each line: open, pick, ship, in whole sequences."""
    training = {"data": {"reading": {"kind": kind, "symbol": "event"}, "end": END, **data}}
    return changed_memory(folder / "plain.tflite", vocabulary=PLAIN, training=training)


def predicted(model, *arguments, input=""):
    """The answers of `stepcell predict --json`, its stderr and its exit code."""
    result = CliRunner().invoke(app, ["predict", str(model), "--json", *map(str, arguments)], input=input)
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr, result.exit_code
