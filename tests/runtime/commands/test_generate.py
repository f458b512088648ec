"""The command `stepcell generate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import stepcell
from support.models import DATA

from stepcell.runtime import load
from stepcell.runtime.commands.generate import generate
from stepcell.runtime.tasks.generate import Sampling

TFLITE = str(DATA / "memory.tflite")


def test_characters_are_generated_without_separators(memory):
    expected = "".join(memory.stream().generate(20, prompt="30", seed=1))
    result = stepcell("generate", TFLITE, "--prompt", "3 0", "--count", 20, "--seed", 1)
    assert (result.exit_code, result.stdout) == (0, expected + "\n")
    options = {"temperature": 2.0, "top_k": 3, "top_p": 0.9}
    expected = "".join(memory.stream().generate(50, prompt="30", seed=2, **options))
    flags = ["--temperature", 2, "--top-k", 3, "--top-p", 0.9]
    assert stepcell("generate", TFLITE, "--prompt", "30", "--count", 50, "--seed", 2, *flags).stdout == expected + "\n"
    expected = "".join(memory.stream().generate(100, prompt="30", greedy=True, stop="2"))
    assert stepcell("generate", TFLITE, "--prompt", "30", "--greedy", "--stop", "2").stdout == expected + "\n"


def test_each_symbol_is_written_before_the_next_is_drawn(monkeypatch):
    held, written, seen, draw = [], [], [], Sampling.draw

    class Stdout:
        write = held.append

        def isatty():
            return False

        def flush():
            written.extend(held)
            held.clear()

    def watched(self, *arguments):
        seen.append(len(written))
        return draw(self, *arguments)

    monkeypatch.setattr(Sampling, "draw", watched)
    monkeypatch.setattr("sys.stdout", Stdout)
    generate(Path(TFLITE), prompt="3", count=4, seed=1)
    assert seen == [0, 1, 2, 3]


def test_a_model_of_sequences_begins_one_and_stops_at_its_end(events_model):
    stream = load(events_model).stream()
    expected = list(stream.generate(100, prompt=["<end>"], seed=3, stop="<end>"))
    assert 1 < len(expected) < 100
    result = stepcell("generate", events_model, "--seed", 3, "--stop", "<end>")
    assert result.stdout.splitlines() == expected  # "take in" has a blank: a symbol on each line
    result = stepcell("generate", events_model, "--seed", 3, "--count", 2, "--json", "--prompt", "take in\npay")
    assert json.loads(result.stdout)["prompt"] == ["take in", "pay"]
    assert len(json.loads(result.stdout)["symbols"]) == 2


def test_text_comes_with_its_newlines_as_they_are(text_model):
    result = stepcell("generate", text_model, "--prompt", r"a\nb", "--count", 200, "--seed", 1, "--temperature", 3)
    assert len(result.stdout) == 201
    assert {"\n", "a", "d"} <= set(result.stdout)
    line = stepcell("generate", text_model, "--prompt", "a", "--seed", 1, "--temperature", 3, "--stop", r"\n").stdout
    assert line.endswith("\n\n")
    assert line.count("\n") == 2


def test_beam_prints_continuations_the_likeliest_first(memory):
    found = memory.stream().beam(5, 3, prompt="30")
    result = stepcell("generate", TFLITE, "--prompt", "30", "--count", 5, "--beam", 3)
    expected = [f"{one.log_probability:.3f}\t{''.join(one.symbols)}" for one in found]
    assert result.stdout.splitlines() == expected
    result = stepcell("generate", TFLITE, "--prompt", "30", "--count", 5, "--beam", 3, "--json")
    assert [way["symbols"] for way in json.loads(result.stdout)["continuations"]] == [
        list(one.symbols) for one in found
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give it a prompt of one symbol or more"),
        (["--prompt", "x"], 1, "Symbol 'x' is not in the vocabulary of memory.tflite"),
        (["--prompt", "3", "--stop", "y", "--temperature", "0"], 2, "the temperature is 0.0"),
        (["--prompt", "3", "--stop", "y"], 2, "the stop symbol 'y' is not in the vocabulary"),
        (["--prompt", "3", "--beam", "2", "--seed", "1", "--temperature", "2"], 2, "leave out --seed, --temperature"),
        (["--prompt", "3", "--seed", "-1"], 2, "--seed"),
        (["--prompt", "3", "--top-k", "0"], 2, "--top-k"),
    ],
)
def test_a_generation_that_cannot_be_made_is_refused_before_anything_is_printed(arguments, code, message):
    result = stepcell("generate", TFLITE, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
