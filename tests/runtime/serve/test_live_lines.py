"""Live lines are read as the training data were: columns, gaps, beginnings, unknown symbols and bad lines."""

from __future__ import annotations

import json

import pytest
from support.faults import faulty_model
from support.live import END, HEADER, ROWS, UNKNOWN, home_model, plain_model, predicted
from support.models import DATA, changed_memory
from support.predicting import TFLITE, predict

from stepcell.runtime import BackendError, Vocabulary, load
from stepcell.runtime.serve.lines import Line
from stepcell.runtime.serve.session import LineOptions, Session
from stepcell.runtime.streams.model import Model


@pytest.fixture
def home(tmp_path):
    return home_model(tmp_path)


@pytest.fixture
def plain(tmp_path):
    return plain_model(tmp_path)


def stepped(model, *symbols):
    """The prediction after `symbols`, stepped one by one."""
    stream = load(model).stream()
    for symbol in symbols:
        prediction = stream.step(symbol)
    return prediction


def probability(model, *symbols):
    return pytest.approx(stepped(model, *symbols).probability, abs=1e-6)


def test_rows_of_csv_are_joined_with_gaps_as_in_training_and_other_fields_pass_through(home):
    answers, _, code = predicted(home, "--format", "csv", input=HEADER + "".join(ROWS))
    assert code == 0
    assert [answer["id"] for answer in answers] == ["1", "2", "3"]
    assert [answer["input"] for answer in answers] == ["lamp=on"] * 3
    assert answers[0]["time"] == "2024-01-01T07:00:00"
    assert [answer["seen"] for answer in answers] == [2, 4, 6]  # the end symbol, and a gap with each further event
    stream = load(home).stream()
    stream.absorb([END, "lamp=on", "lamp=on", "gap<1min", "lamp=on"])
    expected = stream.step("gap>=1min").probabilities
    assert answers[-1]["symbol"] in ("lamp=on", END)
    assert answers[-1]["probability"] == pytest.approx(max(expected[0], expected[4]), abs=1e-6)


def test_json_lines_and_csv_of_one_content_have_one_answer(home):
    lines = [dict(zip(HEADER.strip().split(","), row.strip().split(","), strict=True)) for row in ROWS]
    by_csv, _, _ = predicted(home, "--format", "csv", input=HEADER + "".join(ROWS))
    by_json, _, _ = predicted(home, "--format", "jsonl", input="".join(json.dumps(line) + "\n" for line in lines))
    assert by_json == by_csv


def test_a_first_line_that_names_the_columns_of_the_training_makes_it_csv(home, tmp_path):
    path = tmp_path / "home.csv"
    path.write_text(HEADER + "".join(ROWS))
    answers, stderr, _ = predicted(home, "--input", path)
    assert len(answers) == 3
    assert not any("unknown" in answer for answer in answers)
    assert "Line 1 names the columns of the training: the input is read as CSV" in stderr


def test_a_table_goes_on_after_a_restart_with_its_header_and_its_times(home, tmp_path):
    path, state = tmp_path / "home.csv", tmp_path / "home.state"
    path.write_text(HEADER + ROWS[0])
    options = ("--input", path, "--state", state)
    first, _, _ = predicted(home, *options)
    path.write_text(HEADER + "".join(ROWS))
    rest, _, _ = predicted(home, *options)
    whole, _, _ = predicted(home, "--format", "csv", input=HEADER + "".join(ROWS))
    assert first + rest == whole


def test_each_sequence_has_a_stream_of_its_own_unless_another_key_is_given(home):
    rows = HEADER + ROWS[0] + ROWS[0].replace("d0", "d1")
    answers, _, _ = predicted(home, "--format", "csv", input=rows)
    assert [(answer["stream"], answer["seen"]) for answer in answers] == [("d0", 2), ("d1", 2)]
    answers, _, _ = predicted(home, "--format", "csv", "--key", "entity", input=rows)
    assert [(answer["stream"], answer["seen"], answer["day"]) for answer in answers] == [
        ("lamp", 2, "d0"), ("lamp", 4, "d1"),
    ]  # fmt: skip


def test_a_field_with_the_name_of_a_part_of_the_answer_is_renamed(home):
    header = HEADER.replace("id", "symbol")
    answers, _, _ = predicted(home, "--format", "csv", input=header + ROWS[0])
    assert answers[0]["in_symbol"] == "1"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("lamp,on,d0\n", "has 3 cells; expected are 5"),
        ('lamp,"on,d0,2024-01-01T07:00:00,1\n', "is not a row of CSV"),
        ("lamp,on,d0,noon,1\n", "'noon' is not a number or a time"),
        ("lamp,,d0,2024-01-01T07:00:00,1\n", "There is no symbol"),
        ("lamp,on,,2024-01-01T07:00:00,1\n", "There is no sequence"),
    ],
)
def test_a_bad_row_stops_or_is_skipped_counted_and_said(home, row, problem):
    lines = HEADER + ROWS[0] + row + ROWS[1]
    answers, stderr, code = predicted(home, "--format", "csv", input=lines)
    assert (len(answers), code) == (1, 1)
    assert f"Line 3: {problem}" in stderr.replace("\n", " ") or problem in stderr
    answers, stderr, code = predicted(home, "--format", "csv", "--bad-lines", "skip", input=lines)
    assert ([answer.get("id") for answer in answers], code) == (["1", None, "2"], 0)
    assert problem in answers[1]["error"]
    assert "Lines that could not be read: 1, skipped." in stderr


def test_a_model_that_was_not_trained_on_a_table_has_no_columns():
    result = predict("--format", "csv", input="a\n")
    assert result.exit_code == 2
    assert "was not trained on a table, so there are no columns to read: leave out --format" in result.stderr


@pytest.mark.parametrize("symbol", ["opn", "open ", "OPEN"])
def test_an_unknown_symbol_is_said_in_json_and_counted(plain, symbol):
    answers, stderr, code = predicted(plain, input=f"open\n{symbol}\n")
    assert code == 0
    assert "unknown" not in answers[0]
    assert answers[1]["unknown"] is True
    assert answers[1]["probability"] == probability(plain, END, "open", "<unknown>")
    assert "Symbols that plain.tflite does not know: 1, read as '<unknown>'." in stderr


def test_an_unknown_symbol_stops_or_is_skipped_where_that_is_asked(plain):
    answers, stderr, code = predicted(plain, "--unknown", "stop", input="open\nopn\n")
    assert (len(answers), code) == (1, 1)
    assert "Line 2: Symbol 'opn' is not in the vocabulary of plain.tflite" in stderr
    answers, stderr, code = predicted(plain, "--unknown", "skip", input="open\nopn\npick\n")
    assert answers[1] == {"input": "opn", "unknown": True}
    assert answers[2]["probability"] == probability(plain, END, "open", "pick")
    assert "Symbols that plain.tflite does not know: 1, skipped." in stderr
    result = predict("--unknown", "use", input="3\n")
    assert result.exit_code == 2
    assert "memory.tflite has no unknown symbol to use: --unknown stop or --unknown skip." in result.stderr


def test_a_prediction_says_that_its_symbol_was_unknown(plain):
    model = load(plain)
    stream = model.stream()
    assert [stream.step(symbol).unknown for symbol in ("open", "opn", "<unknown>")] == [False, True, False]
    assert stream.peek("opn").unknown
    answers = model.fleet().step({"a": "opn", "b": "open"})
    assert (answers["a"].unknown, answers["b"].unknown) == (True, False)


@pytest.mark.parametrize(("kind", "hidden"), [("events", {"<unknown>"}), ("text", {"<unknown>", END})])
def test_the_unknown_symbol_and_the_end_of_a_text_are_offered_only_if_asked(tmp_path, kind, hidden):
    model = plain_model(tmp_path, kind, reading={"kind": kind, "unit": "word"} if kind == "text" else {"kind": kind})
    prediction = stepped(model, "open")
    assert {symbol for symbol, _ in prediction.top(9)} == {"open", "pick", "ship", "<unknown>", END} - hidden
    assert len(prediction.top(9, offer_unknown=True)) == 5
    assert len(prediction.probabilities) == 5
    assert prediction.top(1) == [(prediction.symbol, prediction.probability)]
    answers, _, _ = predicted(model, "--top", 9, input="open\n")
    assert not {each["symbol"] for each in answers[0]["top"]} & hidden
    answers, _, _ = predicted(model, "--top", 9, "--offer-unknown", input="open\n")
    assert len(answers[0]["top"]) == 5


def test_a_model_of_whole_sequences_begins_with_the_end_symbol_unless_it_is_given(plain):
    for lines, options in (("open\n", ()), (f"{END}\nopen\n", ())):
        answers, _, _ = predicted(plain, *options, input=lines)
        assert answers[-1]["probability"] == probability(plain, END, "open")
    answers, _, _ = predicted(plain, "--middle", input="open\n")
    assert answers[-1]["probability"] == probability(plain, "open")


@pytest.mark.parametrize("lines", ["open\n\npick\n", "open\r\n\r\npick\r\n", "\ufeffopen\npick\n", "\nopen\npick"])
def test_line_ends_empty_lines_and_a_byte_order_mark_are_no_symbols(plain, lines):
    answers, stderr, _ = predicted(plain, input=lines)
    assert [answer["input"] for answer in answers] == ["open", "pick"]
    assert answers[-1]["probability"] == probability(plain, END, "open", "pick")
    assert stderr == ""


def test_a_state_is_reset_behind_a_symbol_of_the_vocabulary_or_on_any_other(plain):
    answers, _, _ = predicted(plain, "--reset-on", END, input=f"open\n{END}\nopen\n")
    assert answers[0] == answers[2]
    assert answers[1]["probability"] == probability(plain, END, "open", END)
    answers, stderr, _ = predicted(plain, "--reset-on", "RESET", input="open\nRESET\nopen\n")
    assert answers[0] == answers[2]
    assert answers[1] == {"reset": True}
    assert stderr == ""


def test_an_object_resets_the_stream_of_its_key():
    keyed = ("--key", "m", "--symbol-field", "e")
    lines = [{"m": "a", "e": 3}, {"m": "b", "e": 4}, {"m": "a", "reset": True}, {"m": "a", "e": 3}, {"m": "b", "e": 0}]
    answers, _, _ = predicted(TFLITE, *keyed, input="".join(json.dumps(line) + "\n" for line in lines))
    assert answers[2] == {"stream": "a", "seen": 0, "reset": True}
    assert answers[3] == answers[0]
    assert answers[4]["seen"] == 2


@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, '{"m": "\\ud800", "e": 3}', '{"m": "a", "e": "\\udfff"}', '{"m": 1e999}', b"\xff", "x" * 2**21],
)
@pytest.mark.parametrize("follow", [True, False])
def test_a_poison_line_is_refused_or_skipped_and_never_met_again(tmp_path, line, follow):
    log, state = tmp_path / "log", tmp_path / "s"
    line = line if isinstance(line, bytes) else line.encode()
    good = b'{"m": "a", "e": 3}\n'
    log.write_bytes(good + line + b"\n" + good)
    options = ("--key", "m", "--symbol-field", "e", "--input", log, "--state", state)
    answers, stderr, code = predicted(TFLITE, *options)
    assert (len(answers), code) == (1, 1)
    assert "Line 2" in stderr
    answers, stderr, code = predicted(TFLITE, *options, "--bad-lines", "skip")
    assert ([answer.get("seen") for answer in answers], code) == ([None, 2], 0)
    assert "Line 2 is skipped (1 so far)" in stderr
    assert predicted(TFLITE, *options)[0] == []


def test_a_feature_that_is_missing_or_no_number_is_a_bad_line():
    good = {"symbol": "a", "hour": 3, "speed": [1, 2, 3]}
    bad = [{**good, "speed": 10**400}, {**good, "speed": "fast"}, {"symbol": "a", "hour": 3}, {**good, "hour": 99}]
    lines = "".join(json.dumps(line) + "\n" for line in [good, *bad, good])
    answers, stderr, code = predicted(DATA / "wide.tflite", "--bad-lines", "skip", input=lines)
    assert ["error" in answer for answer in answers] == [False, True, True, True, True, False]
    assert code == 0
    assert "Lines that could not be read: 4, skipped." in stderr


@pytest.mark.parametrize("after", range(2))  # the event, and the gap behind it
def test_a_row_that_fails_at_any_of_its_steps_has_not_moved_the_stream(home, after):
    faulty, fault = faulty_model("numpy", home)
    session = Session(Model(faulty.pool), LineOptions(format="csv", as_json=True), 10, print)
    header, first, second, third = [
        Line(number, text.rstrip("\n").encode()) for number, text in enumerate((HEADER, *ROWS), 1)
    ]
    session.answer(header)
    session.answer(first)
    with fault.raising(RuntimeError("no memory"), after), pytest.raises(BackendError):
        session.answer(second)
    again = [json.loads(session.answer(line)) for line in (second, third)]
    expected, _, _ = predicted(home, "--format", "csv", "--backend", "numpy", input=HEADER + "".join(ROWS))
    assert again == expected[1:]


def test_a_live_word_is_in_the_normal_form_of_the_training(tmp_path):
    words = Vocabulary(("caf\u00e9", UNKNOWN, "open", "pick", END), UNKNOWN)
    for rules, unknown in ((2, None), (1, True)):  # models of the first rules read text as it is written
        reading = {"kind": "text", "unit": "word", "word_rules": rules}
        model = changed_memory(
            tmp_path / f"words{rules}.tflite", vocabulary=words, training={"data": {"reading": reading}}
        )
        answers, _, _ = predicted(model, input="cafe\u0301\n")
        assert answers[0].get("unknown") is unknown


def test_plain_lines_are_messages_that_are_read_as_their_templates(tmp_path):
    symbols = ("open <*>", "pick", "ship", "<unknown>", END)
    reading = {"kind": "events", "symbol": "message", "templates": ["open <*>", "pick", "ship"]}
    model = changed_memory(
        tmp_path / "raw.tflite",
        vocabulary=Vocabulary(symbols, unknown="<unknown>"),
        training={"data": {"reading": reading}},
    )
    answers, _, _ = predicted(model, "--alert-below", 0.9999999, input="open 7\npick\n<unknown>\nopen <*>\n")
    assert [answer["input"] for answer in answers] == ["open <*>", "pick", "<unknown>", "open <*>"]
