"""What a model file calls itself and its symbols never controls the terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from support.command_line import stepcell
from support.models import changed_memory

from stepcell.runtime import Vocabulary

SYMBOLS = ("a\x1b[2J", "b\x9b2J", "c\x7f", "d\u202e", "[/b]\x07")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model file whose name, producer and symbols hold control characters, and data of these symbols."""
    folder = tmp_path_factory.mktemp("hostile")
    changes = {"name": "m\x1b[2J", "producer": "p\x9b2J", "training": {"problem": "t\x1b[2J"}}
    model = changed_memory(folder / "model.tflite", vocabulary=Vocabulary(SYMBOLS), **changes)
    data = folder / "data.txt"
    data.write_text("".join(f"{SYMBOLS[number * number % 5]}\n" for number in range(100)))
    return model, data


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "command",
    ["predict MODEL --top 3", "predict MODEL", "inspect MODEL", "doctor MODEL", "evaluate MODEL DATA --format symbols",
     "score MODEL DATA --format symbols --per-symbol", "generate MODEL --prompt a\x1b[2J"],
)  # fmt: skip
def test_control_characters_of_a_model_file_are_printed_as_escapes(files, command, as_json):
    model, data = files
    words = [{"MODEL": model, "DATA": data}.get(word, word) for word in command.split()]
    result = stepcell(*words, *["--json"] * as_json, input="".join(f"{symbol}\n" for symbol in [*SYMBOLS, "\x1bno"]))
    assert result.output
    controls = {each for each in result.output if unicodedata.category(each) == "Cc" or each == "\u202e"}
    # What is drawn goes to a file as it is, so that it can be read again; on a terminal it is escaped.
    assert controls <= {"\n", "\t"} or command.startswith("generate")
    assert not as_json or controls <= {"\n"}
    if as_json and command == "predict MODEL":
        assert [json.loads(line)["input"] for line in result.stdout.splitlines()] == [*SYMBOLS]
