"""Symbols and ids."""

from __future__ import annotations

import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime import UnknownSymbolError, Vocabulary, VocabularyError
from stepcell.runtime.format import vocabulary
from stepcell.runtime.format.vocabulary import (
    escape_symbol,
    json_text,
    read_symbol,
    read_symbols,
    read_vocabulary,
    unescape_symbol,
)

SYMBOLS = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=20, unique=True)


@given(SYMBOLS)
def test_decoding_undoes_encoding(symbols):
    made = Vocabulary(tuple(symbols))
    assert [made.decode(id) for id in made.encode_all(symbols).tolist()] == symbols


@given(st.text())
def test_an_escaped_symbol_stands_on_one_line_and_comes_back(symbol):
    escaped = escape_symbol(symbol)
    assert not {"\n", "\r", "\t"} & set(escaped)
    assert unescape_symbol(escaped) == symbol


@given(SYMBOLS)
def test_a_vocabulary_file_gives_back_its_symbols(symbols):
    lines = "\n".join(escape_symbol(symbol) for symbol in symbols)
    if not lines.lstrip().startswith(("[", "{")) and "," not in lines:
        assert Vocabulary.from_file_content(lines).symbols == tuple(symbols)


def test_a_vocabulary_file_may_be_a_json_list():
    assert Vocabulary.from_file_content('["a", "\\n", "c"]').symbols == ("a", "\n", "c")


@given(SYMBOLS, st.booleans(), st.randoms())
def test_a_vocabulary_file_may_be_a_json_object_of_symbols_and_ids(symbols, by_id, random):
    pairs = [(str(id), symbol) if by_id else (symbol, id) for id, symbol in enumerate(symbols)]
    random.shuffle(pairs)
    assert Vocabulary.from_file_content(json.dumps(dict(pairs), indent=1)).symbols == tuple(symbols)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"open": 2, "pick": 3}', "the ids 0 to 1, each once: no symbol has the id 0, 1 \\(the Tokenizer of Keras"),
        ('{"open": 0, "pick": 0}', "several symbols have the id 0"),
        ('{"open": 0, "pick": 2}', "no symbol has the id 1"),
        ('{"open": -1, "pick": 0}', "an id is -1"),
        ('{"class_name": "Tokenizer", "config": {}}', "is a JSON object with 'class_name', 'config'; it must hold"),
        ("{}", "is a JSON object with nothing"),
        ('{"open": 0,\n "pick"', "begins as JSON, but is not"),
        ('["open",\n "pick"', "begins as JSON, but is not"),
        ("a\n\nb\n", "line 2 is empty; a newline as a symbol is written"),
        ("a\t5\nb\t7\n", "line 1 has a tab"),
        ("a,0\nb,1\n", "its lines look like symbol,id"),
    ],
)
def test_a_vocabulary_of_another_shape_is_refused(content, problem):
    with pytest.raises(VocabularyError, match=problem):
        Vocabulary.from_file_content(content)


def test_a_vocabulary_file_may_have_windows_line_ends():
    assert Vocabulary.from_file_content("a\r\nb\r\n").symbols == ("a", "b")


def test_an_unknown_symbol_is_refused_with_the_symbols_that_exist():
    with pytest.raises(
        UnknownSymbolError, match=r"Symbol 'Ä' is not in the vocabulary \(26 symbols: 'A', 'B', 'C', ...\)"
    ):
        Vocabulary.of_text("ABCDEFGHIJKLMNOPQRSTUVWXYZ").encode("Ä")


def test_a_number_given_for_a_symbol_is_told_that_symbols_are_strings():
    with pytest.raises(UnknownSymbolError, match="Symbols are strings: give '3'"):
        Vocabulary.of_ids(5).encode(3)


def test_an_unknown_symbol_can_be_caught_as_a_key_error():
    with pytest.raises(KeyError):
        Vocabulary.of_ids(5).encode("x")


def test_the_unknown_symbol_stands_for_symbols_not_listed():
    assert Vocabulary(("a", "?"), unknown="?").encode("z") == 1


@pytest.mark.parametrize("id", [-1, 5])
def test_an_id_outside_the_vocabulary_is_refused(id):
    with pytest.raises(IndexError, match="not one of 0 to 4"):
        Vocabulary.of_ids(5).decode(id)


@pytest.mark.parametrize(
    ("symbols", "unknown", "problem"),
    [
        ((), None, "it has no symbols"),
        (("a", "b", "a"), None, "it has the symbol 'a' twice"),
        (("a", ""), None, "not empty"),
        (("a", 3), None, "found 3"),
        (("a", "\ud800"), None, "strings of Unicode"),
        (("a",), "?", "'\\?' is not one of its symbols"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_refused(symbols, unknown, problem):
    with pytest.raises(VocabularyError, match=problem):
        Vocabulary(symbols, unknown)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, r"Cannot read the vocabulary .*missing.txt: No such file or directory\."),
        ("latin.txt", b"a\n\xe9\n", r"The vocabulary .*latin.txt is not UTF-8: byte 2 is wrong\."),
        ("symbols.json", b"[a", r"The vocabulary .*symbols.json is not JSON: Expecting value"),
        ("digits.json", b"[" + b"9" * 5000 + b"]", r"The vocabulary .*digits.json is not JSON: "),
        ("deep.json", b"[" * 100_000, r"The vocabulary .*deep.json is not JSON: "),
        ("far.json", b'{"a": 0, "b": 1' + b"0" * 30 + b"}", "no symbol has the id 1"),
        ("empty.txt", b"\n", "it has no symbols"),
        ("repeated.json", b'["a", "a"]', "it has the symbol 'a' twice"),
    ],
)
def test_a_file_that_holds_no_vocabulary_is_refused(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VocabularyError, match=message):
        read_vocabulary(tmp_path / name)


def test_a_vocabulary_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "symbols.txt").write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert read_vocabulary(tmp_path / "symbols.txt").symbols == ("a", "b")


def test_lines_may_begin_with_a_bracket():
    assert Vocabulary.from_file_content("[a\n]\n").symbols == ("[a", "]")


def test_an_unknown_symbol_among_many_is_refused_with_its_position():
    with pytest.raises(UnknownSymbolError, match=r"'x' is not in the vocabulary .* It is number 2 of 3\."):
        Vocabulary.of_ids(5).encode_all("0x1")
    with pytest.raises(UnknownSymbolError, match=r"Symbols are strings: give '1'\. It is number 1 of 1\."):
        Vocabulary.of_ids(5).encode_all([1])


def test_an_unknown_symbol_is_shown_short():
    with pytest.raises(UnknownSymbolError, match=r"Symbol 'x{79}\.\.\. \(1,002 characters\) is not"):
        Vocabulary.of_ids(5).encode("x" * 1000)


@pytest.mark.parametrize(("value", "kind"), [([1], "a list"), ({}, "an object")])
def test_a_json_value_with_parts_is_no_symbol(value, kind):
    with pytest.raises(ValueError, match=kind):
        json_text(value)


@pytest.mark.parametrize(
    ("text", "symbols", "expected"),
    [
        ("3012", "01234", ["3", "0", "1", "2"]),
        (" 3 0\n1 2", "01234", ["3", "0", "1", "2"]),
        ("to be", "bet o", ["t", "o", " ", "b", "e"]),
        (r"a\n\\", "a\n\\", ["a", "\n", "\\"]),
        ("tea  milk cup", ["tea", "milk", "cup"], ["tea", "milk", "cup"]),
        (r"tea \n", ["tea", "\n"], ["tea", "\n"]),
        ("", "01", []),
    ],
)
def test_a_line_of_symbols_is_read_as_people_write_it(text, symbols, expected):
    assert read_symbols(text, Vocabulary(tuple(symbols))) == expected


def test_the_unknown_symbol_may_be_a_word_among_characters():
    assert read_symbols("a b", Vocabulary(("a", "b", "<unknown>"), "<unknown>")) == ["a", "b"]


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(vocabulary).failed == 0


def test_many_symbols_are_encoded_as_each_of_them_is():
    strict, lenient = Vocabulary(tuple("abc")), Vocabulary(tuple("abc"), unknown="c")
    assert strict.encode_all("cab").tolist() == strict.encode_all(iter("cab")).tolist() == [2, 0, 1]
    assert strict.encode_all([]).shape == (0,)
    assert lenient.encode_all(["a", "?", "b", ""]).tolist() == [0, 2, 1, 2]
    with pytest.raises(UnknownSymbolError, match=r"'\?' .* It is number 2 of 3"):
        strict.encode_all("a?b")
    with pytest.raises(UnknownSymbolError, match="Symbol 7 is not"):
        lenient.encode_all(["a", 7])


@given(st.sets(st.text("\\\\n\\nt", min_size=1, max_size=4), min_size=1))
def test_every_symbol_can_be_written_on_a_line_and_read_back(symbols):
    vocabulary = Vocabulary(tuple(symbols))
    for symbol in symbols:
        assert read_symbol(escape_symbol(symbol), vocabulary) == symbol
        if unescape_symbol(symbol) not in symbols:
            assert read_symbol(symbol, vocabulary) == symbol


def test_a_newline_and_the_characters_that_stand_for_it_are_told_apart():
    vocabulary = Vocabulary(("\n", "\\n", "a b"))
    assert [read_symbol(text, vocabulary) for text in ("\\n", "\\\\n", "a b", "\n")] == ["\n", "\\n", "a b", "\n"]
    assert read_symbols("\\n\na b\n\\\\n", vocabulary) == ["\n", "a b", "\\n"]
