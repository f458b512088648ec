"""Names, strings and numbers as C reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.export.c.names import argument_names, array, check_name, name_for, number, string
from stepcell.runtime import OptionError


@pytest.mark.parametrize("name", ["int", "class", "1st", "a b", "", "ß", "x" * 60, "_hidden"])
def test_a_name_that_c_or_cpp_does_not_take_is_refused(name):
    with pytest.raises(OptionError, match="--name"):
        check_name(name)


@given(st.text(max_size=80))
def test_every_text_has_a_name_that_is_taken(text):
    assert check_name(name_for(text)) == name_for(text)


@given(st.lists(st.text(max_size=8), unique=True, max_size=8))
def test_arguments_have_names_of_their_own(names):
    found = argument_names(names)
    assert len(set(found.values())) == len(names)
    assert not {"state", "work", "symbol"} & set(found.values())


def read_string(literal: str) -> bytes:
    """Return the bytes that a C compiler makes of a literal whose only escapes are octal."""
    inside = literal[1:-1]
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), inside).encode("latin-1")


@given(st.text())
def test_a_string_is_read_as_its_utf_8_bytes_and_holds_no_trigraph(text):
    literal = string(text)
    assert read_string(literal) == text.encode()
    assert literal.isascii()
    assert not set('?"\n') & set(literal[1:-1])


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_the_same_float32(value):
    literal = number(value).strip("()")
    assert literal.endswith("f")
    assert np.float32(literal[:-1]) == np.float32(value)
    assert "." in literal or "e" in literal


def test_an_array_of_nothing_is_still_an_array():
    assert "[1] = {" in array("x", np.zeros(0, np.float32))
