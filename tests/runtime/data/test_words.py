"""Words are cut alike on every Python: with the marks that combine with their letters."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import TextReader
from stepcell.runtime.data.words import FIRST, words_of

FILE = Path(__file__).parents[3] / "runtime/data/unicode_words.py"
LETTERS = st.characters(categories=["L", "Mn", "Mc", "Nd", "Pc"])


@pytest.mark.parametrize(
    "text",
    [
        "नमस्ते दुनिया है", "مُحَمَّدٌ رَسُولُ", "שָׁלוֹם עֲלֵיכֶם", "தமிழ் மொழி", "می\u200cخواهم کتاب\u200cها", "Ελλάδα x_y été",  # noqa: RUF001
        "don't l\u2019été", "ไทย ภาษา", "co\u00adop a\u030a", "東 京 に 行 く", "( ) , 3 . 14",
        "👨\u200d👩\u200d👧 ❤\ufe0f 🇩🇪 👍🏽",
    ],
)  # fmt: skip
def test_a_word_with_its_marks_is_one_symbol(text):
    assert words_of(text) == unicodedata.normalize("NFC", text).split()
    assert TextReader("word").split(text) == words_of(text)


def test_two_spellings_of_a_letter_are_one_word():
    assert words_of("e\u0301te\u0301") == words_of("\u00e9t\u00e9") == ["\u00e9t\u00e9"]


def test_ideographs_are_words_by_themselves():
    assert words_of("東京に行く、2024年") == [*"東京に行く、", "2024", "年"]


@given(st.text())
def test_no_character_is_lost(text):
    kept = "".join(words_of(text)).replace("\n", "")
    assert kept == "".join(unicodedata.normalize("NFC", text).split())


@given(st.text(st.characters(max_codepoint=0x24F), max_size=9))
def test_the_words_of_latin_letters_are_those_of_earlier_models(text):
    joiners = text.replace("\u00ad", "")
    if not any(unicodedata.category(one) in ("No", "Sk", "Cc") for one in joiners):
        assert words_of(joiners) == words_of(unicodedata.normalize("NFC", joiners), FIRST)


def test_earlier_models_keep_the_rules_they_were_trained_with():
    assert TextReader("word", word_rules=1).split("है") == ["ह", "ै"]
    with pytest.raises(CorpusError, match="of version 3, not 1 or 2"):
        TextReader("word", word_rules=3)


@given(LETTERS)
def test_the_ranges_agree_with_the_unicode_data_of_this_python(character):
    text = unicodedata.normalize("NFC", f"a{character}b")
    assert words_of(text) in ([text], list(text))


def test_the_ranges_are_a_small_file():
    assert FILE.stat().st_size < 8_000
