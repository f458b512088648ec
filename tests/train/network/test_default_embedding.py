"""The size of an embedding follows from the size of the vocabulary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.data import Corpus, Recording
from stepcell.train.network.network import default_embedding


@given(st.integers(1, 100_000))
def test_a_larger_vocabulary_has_no_smaller_embedding(symbols):
    assert 0 <= default_embedding(symbols) <= default_embedding(symbols + 1) <= 128


def test_few_symbols_are_one_hot():
    assert [default_embedding(symbols) for symbols in (2, 256, 257, 1_000, 5_131)] == [0, 0, 16, 32, 72]


def test_the_least_count_of_many_words_is_two_or_what_the_limit_needs():
    words = [f"w{n}" for n in range(3_000)]
    recording = Recording.of([words + words[:1_500] + words[:50]] * 2)
    assert Corpus.of(Recording.of([words[:50]] * 9), min_count=None).min_count == 1
    assert Corpus.of(recording, min_count=None).min_count == 2
    few = Corpus.of(recording, min_count=None, max_symbols=60)
    assert (few.min_count, len(few.vocabulary)) == (3, 51)
