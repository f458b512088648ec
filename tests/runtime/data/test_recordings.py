"""Recordings are split, get symbols of gaps, and are encoded as a plain reference does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime import UnknownSymbolError, Vocabulary
from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import (
    Corpus,
    EventsReader,
    FeatureColumns,
    HeldOut,
    Recording,
    SymbolsReader,
    TextReader,
    TimeBins,
    encode_sequences,
)
from stepcell.runtime.data.encoded import whole_sequences

LETTERS = Vocabulary(("a", "b", "c", "end"))
some_sequences = st.lists(st.text("abc", max_size=4), min_size=1, max_size=5)


def sequences(recording):
    return ["".join(recording.sequence(index)) for index in range(len(recording))]


def timed(texts, times):
    plain = Recording.of(texts)
    return Recording.whole(plain.symbols, plain.ids, plain.starts, np.array(times, float))


@given(some_sequences, st.data())
def test_inputs_and_targets_are_those_of_each_sequence_with_its_end_symbols(texts, data):
    flags = st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))
    has_start, has_end, end = data.draw(flags), data.draw(flags), data.draw(st.sampled_from([None, "end"]))
    whole = Recording.of(texts)
    recording = whole.part(whole.starts[:-1], whole.starts[1:], np.array(has_start), np.array(has_end))
    inputs, targets, starts = [], [], []
    for text, starts_here, ends_here in zip(texts, has_start, has_end, strict=True):
        if not text and not (end and starts_here):
            continue
        symbols = ([end] if end and starts_here else []) + list(text)
        starts += [True] + [False] * (len(symbols) - 1)
        inputs += symbols
        targets += [*symbols[1:], end if end and ends_here else None]
    encoded = encode_sequences(recording, LETTERS, end)
    assert [LETTERS.decode(int(id)) for id in encoded.inputs] == inputs
    assert encoded.weights.tolist() == [float(target is not None) for target in targets]
    assert [LETTERS.decode(int(id)) for id in encoded.targets[encoded.weights > 0]] == [t for t in targets if t]
    assert encoded.is_start.tolist() == starts


@given(some_sequences, st.sampled_from([None, "end"]))
def test_whole_sequences_have_the_end_symbol_before_and_after_them(texts, end):
    found = whole_sequences(Recording.of(texts), LETTERS, end, {})
    expected = [[end, *text, end] if end else list(text) for text in texts if text or end]
    assert [[LETTERS.decode(int(id)) for id in inputs.ids] for inputs in found] == expected


def test_rare_and_new_symbols_are_unknown():
    held_out = Recording.of([["a", "new", "rare", "b"]])
    corpus = Corpus.of_parts(Recording.of([["a", "a", "b", "b", "b", "rare"]]), held_out, end="end", min_count=2)
    assert corpus.vocabulary.symbols == ("b", "a", "<unknown>", "end")
    found = [corpus.vocabulary.decode(int(id)) for id in corpus.encoded_held_out.inputs]
    assert found == ["end", "a", "<unknown>", "<unknown>", "b"]
    with pytest.raises(UnknownSymbolError):
        encode_sequences(held_out, Vocabulary(("a", "b")), None)


def test_a_vocabulary_above_the_limit_is_refused_with_advice():
    recording = Recording.of([["x"] * 5 + ["y"] * 5 + ["z"] * 3 + [f"n{n}" for n in range(9)]])
    with pytest.raises(CorpusError, match="has 12 different symbols, the limit is 5. --min-count 2 leaves 3;"):
        Corpus.of_parts(recording, recording, max_symbols=5)
    with pytest.raises(CorpusError, match="No symbol .* occurs 9 times"):
        Corpus.of_parts(recording, recording, min_count=9)


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1), min_size=1, max_size=4))
def test_the_symbol_of_a_gap_follows_the_event_that_ended_it(events):
    events = [sorted(sequence, key=lambda event: event[1]) for sequence in events]
    recording = timed([[symbol for symbol, _ in s] for s in events], [time for s in events for _, time in s])
    bins = TimeBins.parse("2s, 5")
    expected, times = [], []
    for sequence in events:
        symbols, before = [], None
        for symbol, time in sequence:
            gap = None if before is None else time - before
            symbols += [symbol] if gap is None else [symbol, "gap<2s" if gap < 2 else "gap<5" if gap < 5 else "gap>=5"]
            times += [time] if gap is None else [time, time]
            before = time
        expected.append(symbols)
    found = bins.insert(recording)
    assert [found.sequence(index) for index in range(len(found))] == expected
    assert found.times.tolist() == times
    assert [found.symbols[id] for id in bins.ids_in(found.symbols)] == ["gap<2s", "gap<5", "gap>=5"]


def test_gaps_have_units_and_names():
    assert TimeBins.parse("1min, 1h").symbols == ("gap<1min", "gap<1h", "gap>=1h")
    assert TimeBins.parse("5ms,2s,1min,1h,1d,2w").seconds == [0.005, 2, 60, 3600, 86400, 1209600]
    with pytest.raises(CorpusError, match="has no order column"):
        TimeBins.parse("1s").insert(Recording.of(["ab"]))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: TimeBins.parse("1h,1min"), "have to grow"),
        (lambda: TimeBins.parse("soon"), "'soon' is no time"),
        (lambda: EventsReader(gaps="1s", format="xls"), "'xls', not one of csv.*gaps need a column of times, --order"),
        (lambda: EventsReader(symbol="what", format="lines"), "lines have no columns"),
        (lambda: HeldOut(1.5, "chance"), "hold out is 1.5.*'chance', not by 'sequence', 'time' or 'last'"),
        (lambda: TextReader("letter"), "'letter', not one of character, byte, word"),
    ],
)
def test_values_that_make_no_sense_are_refused_together(make, problem):
    with pytest.raises(CorpusError, match=problem):
        make()


@given(st.integers(2, 40), st.floats(0.05, 0.95))
def test_a_share_of_the_sequences_is_held_out_always_the_same(count, share):
    recording = Recording.of([[f"s{n}", "x"] for n in range(count)])
    expected = max(1, round(count * share))
    if expected == count:
        with pytest.raises(CorpusError, match="nothing is left to learn from. Hold out less"):
            HeldOut(share).split(recording)
        return
    train, held_out = HeldOut(share).split(recording)
    assert len(held_out) == expected
    assert sorted(sequences(train) + sequences(held_out)) == sorted(sequences(recording))
    assert sequences(HeldOut(share).split(recording)[1]) == sequences(held_out)


def test_a_split_by_time_cuts_sequences_that_span_it():
    train, held_out = HeldOut(0.45, "time").split(timed(["abc", "de", "fg"], [1, 5, 9, 2, 3, 8, 9]))
    assert (sequences(train), sequences(held_out)) == (["ab", "de"], ["fg"])  # "c" is the end of a known sequence
    assert (train.has_start.tolist(), train.has_end.tolist()) == ([True, True], [False, True])
    assert (held_out.has_start.tolist(), held_out.has_end.tolist()) == ([True], [True])
    assert train.remarks[-1].startswith("1 sequences were running at the time of the split")
    train, held_out = HeldOut(0.45, "time").split(timed(["abc", "de"], [1, 5, 9, 2, 3]))
    assert (sequences(train), sequences(held_out)) == (["a", "de"], ["bc"])  # none begins later
    assert (held_out.has_start.tolist(), held_out.has_end.tolist()) == ([False], [True])


@given(st.lists(st.text("abc", max_size=4), min_size=2, max_size=9), st.floats(0.1, 0.6), st.randoms())
def test_the_last_sequences_are_those_that_begin_last(texts, share, random):
    begins = [random.random() for _ in texts]
    times = [begin + step for begin, text in zip(begins, texts, strict=True) for step in range(len(text) + 1)]
    recording = timed(["a" + text for text in texts], times)
    train, held_out = HeldOut(share, "last").split(recording)
    assert len(held_out) == max(1, round(len(texts) * share))
    assert max(train.times[train.starts[:-1]]) <= min(held_out.times[held_out.starts[:-1]])
    unordered = Recording.of(texts)
    assert sequences(HeldOut(share, "last").split(unordered)[1]) == texts[-len(held_out) :]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1), min_size=1, max_size=4), st.floats(0.1, 0.9))
def test_a_split_by_time_loses_nothing_and_trains_on_the_past(times, share):
    times = [sorted(sequence) for sequence in times]
    recording = timed([["a"] * len(sequence) for sequence in times], [time for s in times for time in s])
    refused = ""
    try:
        train, held_out = HeldOut(share, "time").split(recording)
    except CorpusError as error:  # the time to split at is the first one
        refused = str(error)
    if refused:
        assert "nothing is left to learn from" in refused
        return
    left_out = len(recording.times) - len(train.times) - len(held_out.times)
    assert max(train.times) < min(held_out.times)
    assert (train.has_start.sum() + held_out.has_start.sum()) == len(recording)
    if not left_out:
        assert train.has_end.sum() + held_out.has_end.sum() == len(recording)
    else:  # the rest of sequences that are learned from
        assert held_out.has_start.all()
        assert "is left out" in train.remarks[-1]


@given(st.text("aé'9, \n!\u2019"), st.sampled_from(["character", "byte", "word"]), st.data())
def test_a_text_has_the_same_symbols_however_it_comes_in_blocks(content, unit, data):
    reader = TextReader(unit)
    whole = content.encode() if unit == "byte" else content
    blocks, rest = [], whole
    while rest:
        size = data.draw(st.integers(1, 4))
        blocks, rest = [*blocks, rest[:size]], rest[size:]
    assert list(reader.symbols(blocks)) == reader.split(content)


@pytest.mark.parametrize(
    ("unit", "symbols"),
    [
        ("character", ["H", "é", "'", "s", " ", "9", ",", "\n", "o", "k", "!"]),
        ("byte", ["48", "c3", "a9", "27", "73", "20", "39", "2c", "0a", "6f", "6b", "21"]),
        ("word", ["Hé's", "9", ",", "\n", "ok", "!"]),
    ],
)
def test_a_text_is_characters_bytes_or_words(tmp_path, unit, symbols):
    content = "Hé's 9,\nok!"
    (tmp_path / "a.txt").write_bytes(content.encode())
    assert TextReader(unit).split(content) == symbols
    assert TextReader(unit).read(tmp_path / "a.txt").sequence(0) == symbols


def test_a_folder_of_texts_has_a_sequence_for_each_file(tmp_path):
    (tmp_path / "sub").mkdir()
    files = {"b.txt": "two", "a.txt": "one", "sub/c.txt": "three", ".hidden": "no", "empty.txt": ""}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    recording = TextReader(end="<end>").read(tmp_path)
    assert sequences(recording) == ["one", "two", "", "three"]
    assert recording.remarks == (f"{tmp_path / 'empty.txt'} is empty: a sequence that ends at once",)
    plain = TextReader().read(tmp_path)
    assert sequences(plain) == ["one", "two", "three"]
    assert plain.remarks == (f"{tmp_path / 'empty.txt'} is empty and left out",)
    (tmp_path / "b.txt").write_text("2")
    assert TextReader().read(tmp_path).sha256 != recording.sha256


@pytest.mark.parametrize(
    ("reader", "content", "problem"),
    [
        (SymbolsReader(), "", "is empty"),
        (TextReader(), "", "is empty; there is nothing to learn from"),
        (TextReader(end="a"), "abc", "holds 'a', the end symbol"),
        (TextReader(), None, "There are no files in the folder"),
    ],
)
def test_a_text_without_symbols_or_with_the_end_symbol_is_refused(tmp_path, reader, content, problem):
    path = tmp_path
    if content is not None:
        path = tmp_path / "a.txt"
        path.write_text(content)
    with pytest.raises(CorpusError, match=problem):
        reader.read(path)


def test_a_corpus_describes_how_its_file_was_read_and_split():
    recording = timed(["ba", "ab", "ba"], [0, 9, 0, 1, 0, 2])
    features = FeatureColumns(("speed", "gap"), np.float32([[1, 0], [3, 9], [1, 0], [3, 1], [1, 0], [3, 2]]), gap=True)
    recording = replace(recording, features=features, source="/data/a.txt", sha256="ab12")
    corpus = Corpus.of(recording, end="end", reader=TextReader(), split=HeldOut(0.4), closed=True)
    assert corpus.vocabulary == Vocabulary(("a", "b", "end"))
    speed, gap = corpus.feature_stats
    assert (speed.typical, speed.logarithmic, gap.logarithmic) == (2.0, False, True)
    values = corpus.train.features.values[:, 1]
    assert gap.typical == pytest.approx(np.expm1(np.log1p(values).mean()), rel=1e-5)
    encoded = corpus.encoded_train
    assert encoded.features.values[encoded.is_start].tolist() == [[2.0, np.float32(gap.typical)]] * len(corpus.train)
    assert encoded.features.values[~encoded.is_start].tolist() == corpus.train.features.values.tolist()
    assert corpus.to_json() == {
        "reading": {"kind": "text", "unit": "character", "encoding": "utf-8", "end": None}, "end": "end",
        "min_count": 1, "held_out": {"share": 0.4, "by": None}, "source": "a.txt", "sha256": "ab12",
        "boundary": {"speed": [2.0], "gap": [gap.typical]},
    }  # fmt: skip
