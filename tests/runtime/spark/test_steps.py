"""The rows of a key: answers and the state behind them, without Spark."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA, changed_memory
from support.serving import MODEL, predicted

from stepcell.runtime import DamagedStateError, OptionError, OtherModelError, UnknownSymbolError, load
from stepcell.runtime.common.errors import InputError
from stepcell.runtime.format.vocabulary import Vocabulary
from stepcell.runtime.spark.answer_fields import answer_fields
from stepcell.runtime.spark.columns import beside
from stepcell.runtime.spark.layout import Layout
from stepcell.runtime.spark.steps import KeyedSteps, StepOptions
from stepcell.runtime.spark.tables import TableScorer, TableWork
from stepcell.runtime.spark.workers import reason_in
from stepcell.runtime.streams.saved_state import parse_saved_streams

BY_SEQ = Layout("machine", "seq", symbols=("event",))
BY_ORDER = Layout("machine", order="time", symbols=("event",))


def steps(layout=BY_SEQ, model=MODEL, **options):
    return KeyedSteps(model, layout, StepOptions(**options))


def rows(symbols, first=0, key="press"):
    return [(key, number, symbol) for number, symbol in enumerate(symbols, first)]


def answers(found, field="symbol"):
    return [values.get(field) for _, values in found.answers]


def test_rows_are_answered_as_serve_answers_records():
    found = steps().step("press", rows("301"), None)
    assert answers(found) == predicted("301")
    assert list(found.answers[0][1]) == ["stream", "seq", "input", "symbol", "probability", "model"]


def test_the_state_is_that_of_a_stream_with_the_next_number():
    found = steps().step("press", rows("301", first=7), None)
    saved = parse_saved_streams(found.saved, "it")
    stream = MODEL.stream()
    stream.absorb("301")
    assert saved.note["serve"]["next_seq"] == 10
    assert list(saved.streams) == ["press"]
    assert {n: a.tolist() for n, a in saved.streams["press"].state.items()} == {
        n: a.tolist() for n, a in stream.state.items()
    }


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("01234"), min_size=1, max_size=12), st.data())
def test_answers_and_state_are_the_same_however_rows_are_cut_into_batches_mixed_and_repeated(symbols, data):
    worker, at, saved, found = steps(), 0, None, []
    while at < len(symbols):
        size = data.draw(st.integers(1, len(symbols) - at))
        back = data.draw(st.integers(0, at))
        batch = data.draw(st.permutations(rows(symbols)[at - back : at + size]))
        result = worker.step("press", batch, saved)
        found += result.answers
        saved, at = result.saved or saved, at + size
    whole = steps().step("press", rows(symbols), None)
    assert [values for _, values in found] == [values for _, values in whole.answers]
    assert saved == whole.saved


def test_repeated_rows_are_not_stepped_again():
    first = steps().step("press", rows("301"), None)
    again = steps().step("press", rows("301"), first.saved)
    assert (again.answers, again.saved) == ([], None)


def test_a_missing_number_is_an_error_a_reset_or_a_count():
    first = steps().step("press", rows("3"), None)
    later = rows("0", first=3)
    (waiting,) = steps().step("press", later, first.saved).answers
    assert waiting[1] == {
        "stream": "press", "seq": 3, "code": "gap", "expected": 1,
        "error": "expected is the record 1, and this is 3: 2 missing",
    }  # fmt: skip
    assert answers(steps(on_gap="continue").step("press", later, first.saved), "gap") == [2]
    assert answers(steps(on_gap="continue").step("press", later, first.saved)) == predicted("30")[1:]
    assert answers(steps(on_gap="reset").step("press", later, first.saved)) == predicted("0")


def test_a_key_that_is_null_is_an_error_without_state():
    found = steps().step(None, rows("3", key=None), None)
    assert (answers(found, "code"), found.saved) == (["bad-record"], None)
    assert "machine is null" in answers(found, "error")[0]


def test_a_row_that_cannot_be_read_moves_nothing_and_stands_among_the_answers():
    found = steps().step("press", [*rows("30"), ("press", None, "1"), ("press", -1, "1"), ("press", 2, None)], None)
    assert answers(found, "code") == ["bad-record", "bad-record", None, None, "bad-record"]
    assert answers(found)[2:4] == predicted("30")
    with pytest.raises(InputError, match="event is null"):
        steps(bad_rows="stop").step("press", [("press", 0, None)], None)


def test_an_unknown_symbol_is_an_error_or_stops():
    assert answers(steps().step("press", rows("x"), None), "code") == ["unknown-symbol"]
    with pytest.raises(UnknownSymbolError):
        steps(unknown="stop").step("press", rows("x"), None)


def test_by_order_rows_are_sorted_and_those_that_are_not_later_are_counted():
    first = steps(BY_ORDER).step("press", [("press", 2.0, "0"), ("press", 1.0, "3"), ("press", 3.0, "1")], None)
    assert answers(first) == predicted("301")
    late = steps(BY_ORDER).step("press", [("press", 3.0, "1"), ("press", 0.5, "2")], first.saved)
    assert late.answers == []
    assert late.saved is not None
    after = steps(BY_ORDER).step("press", [("press", 4.0, "2"), ("press", 2.0, "2")], late.saved)
    assert answers(after) == predicted("3012")[-1:]
    assert answers(after, "dropped") == [3]


def test_a_state_of_rows_by_number_is_not_gone_on_with_by_time_nor_the_other_way():
    batch = [("press", 1, "3")]
    by_seq, by_order = (steps(each).step("press", batch, None).saved for each in (BY_SEQ, BY_ORDER))
    with pytest.raises(InputError, match="'press' in the checkpoint is that of rows with seq=, .* with order="):
        steps(BY_ORDER).step("press", batch, by_seq)
    with pytest.raises(InputError, match="rows with order=, .* with seq="):
        steps().step("press", batch, by_order)


def test_by_order_rows_of_one_time_are_all_stepped():
    batch = [("press", 1.0, "3"), ("press", 1.0, "0")]
    found = steps(BY_ORDER).step("press", batch, None)
    assert found == steps(BY_ORDER).step("press", batch[::-1], None)
    assert len(found.answers) == 2


def test_an_order_that_is_null_or_no_number_is_an_error():
    found = steps(BY_ORDER).step("press", [("press", None, "3"), ("press", float("nan"), "3")], None)
    assert answers(found, "code") == ["bad-record"] * 2
    assert found.saved is None


def test_start_and_end_are_columns_of_booleans():
    layout = Layout("machine", "seq", symbols=("event",), start="begins", end="ends")
    given = [("press", 0, "3", None, None), ("press", 1, "0", True, False), ("press", 2, None, None, True),
             ("press", 3, "1", None, None)]  # fmt: skip
    found = steps(layout).step("press", given, None)
    assert answers(found) == [*predicted("3"), *predicted("0"), None, *predicted("1")]
    assert answers(found, "reset") == [None, None, True, None]


def test_features_are_columns():
    model = load(DATA / "wide.tflite")
    layout = Layout("machine", "seq", None, ("event",), (("hour", "h"), ("speed", "v")))
    found = steps(layout, model).step(
        "press", [("press", 0, "a", 3, [0.1, 0.2, 0.3]), ("press", 1, "b", 4, None)], None
    )
    expected = model.stream().step("a", {"hour": 3, "speed": [0.1, 0.2, 0.3]})
    assert (found.answers[0][1]["symbol"], found.answers[0][1]["mood"]["symbol"]) == (
        expected.symbol, expected.outputs["mood"].symbol,
    )  # fmt: skip
    assert found.answers[1][1]["error"] == "the feature speed is null"


def test_a_state_of_another_model_or_key_or_with_a_wrong_byte_is_refused():
    saved = steps().step("press", rows("30"), None).saved
    with pytest.raises(OtherModelError, match="'press' in the checkpoint belongs to another model.*new checkpoint"):
        steps(model=load(DATA / "gru.tflite")).step("press", rows("1", first=2), saved)
    with pytest.raises(DamagedStateError, match="it is that of 'press'. Nothing of this batch is kept"):
        steps().step("saw", rows("1"), saved)
    for position in range(0, len(saved), 17):
        damaged = bytearray(saved)
        damaged[position] ^= 4
        with pytest.raises((DamagedStateError, OtherModelError), match="Nothing of this batch is kept"):
            steps().step("press", rows("1", first=2), bytes(damaged))


def test_a_refused_state_leaves_the_next_key_alone():
    worker = steps()
    with pytest.raises(DamagedStateError):
        worker.step("press", rows("1"), b"stepsave and nothing more, but enough for a checksum.......")
    assert answers(worker.step("press", rows("3"), None)) == predicted("3")


def test_columns_and_options_that_do_not_fit_are_named_all_at_once():
    with pytest.raises(OptionError, match=r"it has no static input user; it reads no feature speed"):
        steps(Layout("m", "seq", None, ("event",), (("speed", "v"),), (("user", "u"),)))
    with pytest.raises(OptionError, match="name the column of the symbol"):
        steps(Layout("m", "seq"))
    with pytest.raises(OptionError, match="not joined of several columns"):
        steps(Layout("m", "seq", None, ("a", "b")))
    with pytest.raises(OptionError, match="on_gap is 'hold'.*unknown is 'ask'"):
        steps(on_gap="hold", unknown="ask")
    with pytest.raises(OptionError, match="sensor.tflite predicts no symbols"):
        steps(Layout("m", "seq", features=(("features", "f"),)), load(DATA / "sensor.tflite"), alert_below=0.1)


def test_messages_are_read_as_their_templates_and_quoted_in_alerts(tmp_path):
    symbols = ("open <*>", "pick", "ship", "<unknown>", "<end>")
    reading = {"kind": "events", "symbol": "message", "templates": symbols[:3]}
    path = changed_memory(
        tmp_path / "raw.tflite",
        vocabulary=Vocabulary(symbols, unknown="<unknown>"),
        training={"data": {"reading": reading}},
    )
    model = load(path)
    found = steps(model=model, alert_below=0.9999999).step("press", rows(["open 7", "pick", "stop"]), None)
    assert answers(found, "input") == ["open <*>", "pick", "stop"]
    assert answers(found, "unknown") == [None, None, True]
    assert answers(found, "line")[1:] == ["pick", "stop"]
    options = StepOptions(alert_below=0.9)
    assert ["line" in answer_fields(each, BY_SEQ, options) for each in (model, MODEL)] == [True, False]
    scorer = TableScorer(model, TableWork("raw.tflite", None, ("case", "message", "time")))
    assert scorer.ids_of(["open 8", "ship", "stop", ""]).tolist() == [0, 2, 3, 3]


def test_a_column_that_is_called_as_one_of_the_answer_gets_a_prefix():
    assert [beside(name, ("bits", "model")) for name in ("Model", "bits", "case")] == ["in_Model", "in_bits", "case"]


def test_the_reason_of_a_worker_is_found_in_what_spark_wrote():
    begun = "[STREAM_FAILED] Query [id = 1] terminated with exception: "
    trace = f"{begun}An exception was thrown: Traceback (most recent call last):\n File 'a'\nTypeError: no bytes\n at x"
    assert reason_in(trace) == "TypeError: no bytes"
    assert (
        reason_in(f"{begun}[CAST_INVALID_INPUT] 'a' is no number.\n=== Query")
        == "[CAST_INVALID_INPUT] 'a' is no number"
    )
