"""How symbols are written and read by people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepcell.runtime import Vocabulary
from stepcell.runtime.format.vocabulary import read_symbols
from stepcell.runtime.tasks.text_output import SymbolFormatter

ACTIVITIES = Vocabulary(("take in", "check", "pay", "<unknown>", "<end>"), "<unknown>")


@pytest.mark.parametrize(
    ("notation", "symbols", "text"),
    [
        (SymbolFormatter(Vocabulary(tuple("01"))), ["0", "1", "1"], "011"),
        (SymbolFormatter(Vocabulary(("tea", "\n", "cup"))), ["tea", "\n", "cup"], r"tea \n cup"),
        (SymbolFormatter(Vocabulary(("take in", "\n"))), ["take in", "\n"], "take in\n\\n"),
        (SymbolFormatter(Vocabulary(("a", "\n", "<e>")), "character", "<e>"), ["a", "\n", "<e>", "a"], "a\n<e>a"),
        (SymbolFormatter(Vocabulary(("to", "be", "<e>")), "word", "<e>"), ["to", "be", "<e>", "to"], "to be <e> to"),
        (SymbolFormatter(Vocabulary(("to", "\n")), "word"), ["to", "to", "\n", "\n", "to"], "to to\n\nto"),
        (SymbolFormatter(Vocabulary(("c3", "a4")), "byte"), ["c3", "a4", "61"], "äa"),
    ],
)
def test_what_is_written_is_read_back_as_the_same_symbols(notation, symbols, text):
    assert "".join(notation.write(symbols)) == text
    assert notation.read(text) == symbols


def test_bytes_are_written_when_they_make_a_character_and_what_makes_none_is_marked():
    notation = SymbolFormatter(Vocabulary(("e2", "82", "ac", "<e>")), "byte", "<e>")
    assert list(notation.write(["e2", "82", "ac", "e2", "<e>", "82"])) == ["", "", "€", "", "\ufffd<e>", "\ufffd", ""]


def test_where_a_symbol_has_a_blank_within_each_stands_on_its_line():
    assert read_symbols("take in\n\ncheck\n", ACTIVITIES) == ["take in", "check"]
    assert read_symbols("a  b\n", Vocabulary(("a", "b b", " "))) == ["a  b"]
    assert read_symbols(r"tea \n", Vocabulary(("tea", "\n"))) == ["tea", "\n"]  # typed as an escape, which has no blank


@pytest.mark.parametrize("data", [None, 5, {"reading": 3, "end": ["x"]}, {"reading": {"kind": "text", "unit": "page"}}])
def test_what_a_file_says_about_its_data_may_be_anything_at_all(data, memory):
    manifest = replace(memory.manifest, training={"data": data})
    assert SymbolFormatter.of(manifest) == SymbolFormatter(memory.vocabulary)
