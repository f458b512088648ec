"""New data are read with the vocabulary, end symbol and normalisation of an earlier training."""

from __future__ import annotations

import pytest

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import Corpus, FeatureStats, HeldOut, Inherited, Recording
from stepcell.runtime.format.vocabulary import Vocabulary

OPEN = Vocabulary(("a", "b", "<unknown>", "<end>"), "<unknown>")
CLOSED = Vocabulary(("a", "b"))
SEQUENCES = [["a", "b", "c"], ["a", "c"], ["d", "a"], ["b", "e"]] * 5


def corpus(vocabulary, *, grow, **limits):
    inherited = Inherited("runs/old", vocabulary, "<end>" if vocabulary is OPEN else None, (), None, grow)
    return Corpus.of(Recording.of(SEQUENCES), split=HeldOut(0.2), inherited=inherited, **limits)


def test_new_symbols_are_unknown_and_counted():
    found = corpus(OPEN, grow=False)
    assert found.vocabulary is OPEN
    new = sum(symbol in "cde" for index in range(len(found.train)) for symbol in found.train.sequence(index))
    (remark,) = found.train.remarks
    assert remark.startswith("3 symbols that runs/old does not know ('c', ")
    assert f": {new} of the {len(found.train.ids)} symbols to learn from are read as '<unknown>'" in remark


def test_new_symbols_are_appended_if_they_are_to_grow_and_the_ids_of_the_old_ones_stay():
    found = corpus(OPEN, grow=True).vocabulary
    assert found.symbols == (*OPEN.symbols, "c", *sorted("de", key=lambda s: -corpus_count(s)))
    assert found.unknown == "<unknown>"
    assert corpus(OPEN, grow=True, min_count=5).vocabulary.symbols == (*OPEN.symbols, "c")
    with pytest.raises(CorpusError, match=r"than 5\. Raise --min-count, or --max-symbols"):
        corpus(OPEN, grow=True, max_symbols=5)


def corpus_count(symbol):
    train = corpus(OPEN, grow=False).train
    return dict(zip(train.symbols, train.counts().tolist(), strict=True))[symbol]


def test_new_symbols_need_rows_where_none_stands_for_unknown_ones():
    with pytest.raises(CorpusError, match=r"3 symbols that runs/old .* no symbol for unknown ones.*--grow"):
        corpus(CLOSED, grow=False)
    assert set(corpus(CLOSED, grow=True, min_count=99).vocabulary.symbols) == set("abcde")


def test_new_labels_are_refused_or_appended():
    labels = Vocabulary(("good", "bad"))
    inherited = Inherited("runs/old", OPEN, labels=labels)
    assert inherited.labels_of(Vocabulary(("bad",)), "new.csv") is labels
    with pytest.raises(CorpusError, match=r"new.csv has 1 label that runs/old does not know \('odd'\)"):
        inherited.labels_of(Vocabulary(("bad", "odd")), "new.csv")
    grown = Inherited("runs/old", OPEN, labels=labels, grow=True).labels_of(Vocabulary(("bad", "odd")), "new.csv")
    assert grown.symbols == ("good", "bad", "odd")


def test_features_are_normalised_as_the_network_has_learned_them():
    stats = (FeatureStats("speed", 3.0, 4.0),)
    inherited = Inherited("runs/old", OPEN, "<end>", stats)
    found = Corpus.of(Recording.of(SEQUENCES), inherited=inherited)
    assert found.feature_stats is stats
    assert found.boundary == {"speed": [3.0]}
