"""What docs/serve.md promises: records, numbers, sequences, answers."""

from __future__ import annotations

import json

import pytest
from support.models import DATA
from support.serving import (
    MODEL,
    ListOutput,
    ListSource,
    numbered,
    predicted,
    serve_records,
    serve_source,
    serve_texts,
    symbols_of,
)

from stepcell.runtime import UnknownSymbolError, load
from stepcell.runtime.common.errors import InputError, OptionError
from stepcell.runtime.serve.adapters.base import REFUSED, REPEATED, SKIPPED, STEPPED, Incoming
from stepcell.runtime.serve.service.options import ServeOptions


@pytest.fixture
def store(tmp_path):
    return tmp_path / "state.db"


# Records


def test_a_record_is_an_object_with_stream_number_and_symbol(store):
    (answer,) = serve_records(store, ['{"stream": "press", "seq": 7, "symbol": "3"}'], MODEL)
    assert list(answer) == ["stream", "seq", "input", "symbol", "probability", "model"]
    assert (answer["stream"], answer["seq"], answer["input"]) == ("press", 7, "3")
    assert answer["model"] == MODEL.manifest.fingerprint


def test_a_stream_may_be_a_number_and_may_be_missing(store):
    answers = serve_records(store, [{"stream": 12, "symbol": "3"}, {"symbol": 3}], MODEL)
    assert [answer["stream"] for answer in answers] == ["12", ""]
    assert symbols_of(answers) == predicted("3") * 2


def test_the_fields_of_a_record_can_have_other_names(store):
    fields = {"stream_field": "machine", "seq_field": "n", "symbol_field": "event"}
    (answer,) = serve_records(store, [{"machine": "saw", "n": 3, "event": "4"}], MODEL, **fields)
    assert (answer["stream"], answer["seq"], answer["symbol"]) == ("saw", 3, *predicted("4"))


def test_a_line_that_is_no_object_is_a_symbol(store):
    assert symbols_of(serve_records(store, ["3", "0", "1"], MODEL)) == predicted("301")


def test_a_line_without_content_is_no_record(store):
    assert len(serve_records(store, ["3", "", " ", "0"], MODEL)) == 2


@pytest.mark.parametrize(
    ("record", "code"), [('{"stream": "b", "symbol": "3"}', "bad-record"), ('{"symbol": "3"}', None)]
)
def test_a_record_of_another_stream_than_its_transport_names_is_an_error(store, record, code):
    (answer,) = serve_records(store, [Incoming(record.encode(), stream="a")], MODEL)
    assert (answer["stream"], answer.get("code")) == ("a", code)


def test_other_fields_stand_in_the_answer(store):
    (answer,) = serve_records(store, [{"symbol": "3", "place": "hall", "probability": 1, "seq": 0}], MODEL)
    assert (answer["place"], answer["in_probability"]) == ("hall", 1)


def test_an_answer_is_json_whatever_number_python_reads_in_a_record(store):
    (answer,) = serve_records(store, ['{"symbol": "3", "far": [1e999], "no": {"x": NaN}}'], MODEL)
    assert (answer["far"], answer["no"]) == ([None], {"x": None})


# Numbers


def test_only_the_next_number_is_stepped(store):
    source = ListSource(numbered("301", first=5) + numbered("30", first=5) + numbered("2", first=8))
    output = ListOutput()
    serve_source(store, source, MODEL, output)
    assert [outcome.kind for outcome in source.outcomes] == [STEPPED] * 3 + [REPEATED] * 2 + [STEPPED]
    assert symbols_of(map(json.loads, output.texts)) == predicted("3012")


def test_the_last_number_gets_its_answer_again(store):
    source = ListSource([*numbered("30"), numbered("30")[1], numbered("30")[0]])
    output = ListOutput()
    serve_source(store, source, MODEL, output)
    assert source.outcomes[2].answer == output.texts[1]
    assert source.outcomes[3].answer is None
    again = ListSource(numbered("30")[1:])
    serve_source(store, again, MODEL)
    assert again.outcomes[0].answer == output.texts[1]


def test_a_number_behind_a_gap_is_refused_and_stepped_when_it_comes_again(store):
    records = numbered("3012")
    source = ListSource([records[0], records[2], records[1], records[2], records[3]], can_wait=True)
    output = ListOutput()
    serve_source(store, source, MODEL, output)
    assert [outcome.kind for outcome in source.outcomes] == [STEPPED, REFUSED, STEPPED, STEPPED, STEPPED]
    assert (source.outcomes[1].code, source.outcomes[1].expected) == ("gap", 1)
    assert symbols_of(map(json.loads, output.texts)) == predicted("3012")


def test_a_refused_record_of_a_source_that_cannot_wait_is_an_error_among_the_answers(store):
    answers = serve_records(store, [numbered("3")[0], *numbered("12", first=2)], MODEL)
    assert [answer.get("code") for answer in answers] == [None, "gap", "gap"]
    assert [answer.get("expected") for answer in answers] == [None, 1, 1]


def test_a_gap_resets_if_asked(store):
    answers = serve_records(store, [*numbered("30"), *numbered("40", first=7)], MODEL, on_gap="reset")
    assert symbols_of(answers) == predicted("30") + predicted("40")
    assert [answer.get("gap") for answer in answers] == [None, None, 5, None]


def test_a_gap_is_continued_if_asked(store):
    answers = serve_records(store, [*numbered("30"), *numbered("1", first=7)], MODEL, on_gap="continue")
    assert symbols_of(answers) == predicted("301")
    assert answers[-1]["gap"] == 5


@pytest.mark.parametrize(
    ("on_gap", "bad", "symbols", "gaps"),
    [
        ("reset", {"symbol": "?"}, predicted("30") + predicted("1"), [3, None]),
        ("reset", {}, predicted("30") + predicted("1"), [None, 4]),
        ("continue", {"symbol": "?"}, predicted("301"), [None, 4]),
        ("continue", {"symbol": "?", "end": True}, predicted("30") + predicted("1"), [3, None]),
        ("wait", {"symbol": "?", "start": True}, predicted("30") + predicted("1"), [3, None]),
    ],
)
def test_an_error_behind_a_gap_hides_no_gap(store, on_gap, bad, symbols, gaps):
    records = [*numbered("30"), {"stream": "press", "seq": 5, **bad}, *numbered("1", first=6)]
    answers = serve_records(store, records, MODEL, on_gap=on_gap)
    assert symbols_of([*answers[:2], answers[3]]) == symbols
    assert "error" in answers[2]
    assert [answer.get("gap") for answer in answers[2:]] == gaps


def test_a_gap_has_another_name_where_an_answer_has_one(store):
    model = load(DATA / "wide.tflite", backend="numpy")
    records = [{"seq": seq, "symbol": "a", "hour": 3, "speed": [0.1, 0.2, 0.3]} for seq in (0, 4)]
    answers = serve_records(store, records, model, on_gap="continue")
    assert answers[1]["seq_gap"] == 3
    assert list(answers[1]["gap"]) == ["values"]


def test_a_start_behind_a_gap_is_stepped(store):
    records = [*numbered("30"), {"stream": "press", "seq": 9, "symbol": "4", "start": True}]
    answers = serve_records(store, records, MODEL)
    assert symbols_of(answers) == predicted("30") + predicted("4")
    assert answers[-1]["gap"] == 7


def test_a_start_with_a_lower_number_is_not_stepped_again(store):
    records = [*numbered("30"), {"stream": "press", "seq": 0, "symbol": "4", "start": True}, *numbered("1", first=2)]
    assert symbols_of(serve_records(store, records, MODEL)) == predicted("301")


def test_records_without_number_are_stepped_each_time(store):
    assert symbols_of(serve_records(store, [{"symbol": "3"}, {"symbol": "3"}], MODEL)) == predicted("33")


@pytest.mark.parametrize("seq", [True, 1.0, "1", -1, 2**70, [1], {}])
def test_a_number_is_an_integer_from_0_on(store, seq):
    answers = serve_records(store, [{"stream": "a", "seq": seq, "symbol": "3"}, {"stream": "a", "symbol": "3"}], MODEL)
    assert answers[0]["code"] == "bad-record"
    assert symbols_of(answers[1:]) == predicted("3")


# Sequences


def test_start_resets_before_and_end_after(store):
    records = [{"symbol": "3"}, {"symbol": "4", "start": True}, {"symbol": "0", "end": True}, {"symbol": "3"}]
    assert symbols_of(serve_records(store, records, MODEL)) == predicted("3") + predicted("40") + predicted("3")


def test_start_and_end_alone_reset(store):
    records = [{"symbol": "3"}, {"start": True}, {"symbol": "4"}, {"end": True}, {"symbol": "3"}]
    answers = serve_records(store, records, MODEL)
    assert symbols_of(answers[::2]) == predicted("3") + predicted("4") + predicted("3")
    assert answers[1]["reset"] is True


def test_a_sequence_can_be_required_to_start(store):
    records = [
        {"symbol": "3"}, {"symbol": "3", "start": True}, {"symbol": "0", "end": True}, {"symbol": "1"},
        {"symbol": "4", "start": True},
    ]  # fmt: skip
    answers = serve_records(store, records, MODEL, require_start=True)
    assert [answer.get("code") for answer in answers] == ["not-started", None, None, "not-started", None]
    assert symbols_of([answers[1], answers[2], answers[4]]) == predicted("30") + predicted("4")


def test_a_gap_starts_no_sequence_that_is_required_to_start(store):
    records = [
        {"seq": 0, "symbol": "3", "start": True, "end": True}, {"seq": 4, "symbol": "0"},
        {"seq": 4, "symbol": "4", "start": True},
    ]  # fmt: skip
    answers = serve_records(store, records, MODEL, require_start=True, on_gap="reset")
    assert [answer.get("code") for answer in answers] == [None, "not-started", None]
    assert answers[2]["symbol"] == predicted("4")[0]


def test_a_sequence_that_was_started_is_open_after_a_restart(store):
    serve_records(store, [{"symbol": "3", "start": True}], MODEL, require_start=True)
    (answer,) = serve_records(store, [{"symbol": "0"}], MODEL, require_start=True)
    assert answer["symbol"] == predicted("30")[1]


def test_a_symbol_can_end_a_sequence(store):
    answers = serve_records(store, ["3", "1", "4"], MODEL, reset_on="1")
    assert symbols_of(answers) == predicted("31") + predicted("4")


def test_a_start_that_fails_leaves_the_stream_where_it_was(store):
    records = [{"symbol": "3"}, {"symbol": ["?"], "start": True}, {"symbol": "0"}]
    answers = serve_records(store, records, MODEL)
    assert answers[1]["code"] == "bad-record"
    assert answers[2]["symbol"] == predicted("30")[1]


@pytest.mark.parametrize("bound", ["start", "end"])
def test_a_sequence_starts_and_ends_with_an_unknown_symbol_too(store, bound):
    answers = serve_records(store, [{"symbol": "3"}, {"symbol": "?", bound: True}, {"symbol": "4"}], MODEL)
    assert [answer.get("code") for answer in answers] == [None, "unknown-symbol", None]
    assert symbols_of(answers[::2]) == predicted("3") + predicted("4")


# Answers


def test_answers_of_streams_do_not_depend_on_one_another(store, tmp_path):
    one, other = numbered("30123", "one"), numbered("40124", "other")
    mixed = [record for pair in zip(one, other, strict=True) for record in pair]
    together = serve_texts(store, mixed, MODEL, max_streams=1)
    assert together[::2] == serve_texts(tmp_path / "one.db", one, MODEL)
    assert together[1::2] == serve_texts(tmp_path / "other.db", other, MODEL)


def test_an_alert_has_the_line_as_it_came(store):
    line = '{"stream": "a",  "symbol": "3"}'
    answers = serve_records(store, [line, line], MODEL, alert_below=0.01)
    assert answers[0]["surprise"] is None
    assert (answers[1]["alert"], answers[1]["line"]) == (True, line)
    assert answers[1]["surprise"] > 6


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{bad", "bad-record"),
        (b'{"stream": "a"}', "bad-record"),
        (b'{"symbol": null}', "bad-record"),
        (b'{"symbol": ["3"]}', "bad-record"),
        (b'{"symbol": "\\ud800"}', "bad-record"),
        (b"[" * 2000, "unknown-symbol"),
        (b'{"a":' * 20000, "bad-record"),
        (b"\xff\xfe\x00", "bad-record"),
        (b'{"symbol": "?"}', "unknown-symbol"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_moves_nothing(store, content, code):
    source, output = ListSource([b"3", content, b"0"]), ListOutput()
    serve_source(store, source, MODEL, output)
    answers = [json.loads(text) for text in output.texts]
    assert answers[1]["code"] == code
    assert source.outcomes[1].kind == SKIPPED
    assert symbols_of([answers[0], answers[2]]) == predicted("30")


def test_an_acknowledged_error_with_the_expected_number_counts(store):
    records = [*numbered("3"), {"stream": "press", "seq": 1, "symbol": "?"}, *numbered("0", first=2)]
    answers = serve_records(store, records, MODEL)
    assert [answer.get("code") for answer in answers] == [None, "unknown-symbol", None]
    assert answers[2]["symbol"] == predicted("30")[1]


def test_an_unknown_symbol_is_used_where_the_vocabulary_has_one(store):
    (answer,) = serve_records(store, ["\U0001f600\U0001f600"], load(DATA / "text.tflite", backend="numpy"))
    assert answer["unknown"] is True


@pytest.mark.parametrize(
    ("options", "bad", "error"),
    [({"unknown": "stop"}, "?", UnknownSymbolError), ({"bad_lines": "stop"}, "{", InputError)],
)
def test_the_service_stops_at_a_record_if_asked_and_keeps_what_came_before(store, options, bad, error):
    source = ListSource(["3", bad, "0"])
    with pytest.raises(error):
        serve_source(store, source, MODEL, **options)
    assert [outcome.kind for outcome in source.outcomes] == [STEPPED]
    assert serve_records(store, ["0"], MODEL)[0]["symbol"] == predicted("30")[1]


def test_options_that_do_not_fit_the_model_are_refused(store):
    with pytest.raises(OptionError, match="has no unknown symbol to use"):
        serve_records(store, [], MODEL, unknown="use")
    with pytest.raises(OptionError, match="do not go together"):
        ServeOptions(store=store, follow=True)
