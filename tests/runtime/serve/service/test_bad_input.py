"""Whatever comes, a service says what is wrong in a sentence, loses nothing, and disturbs no other stream."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.command_line import stepcell
from support.models import DATA
from support.serving import ListOutput, ListSource, new_service, serve_records, serve_source, serve_texts

from stepcell.runtime import load
from stepcell.runtime.common.errors import InputError, OptionError, OutputError, UnknownSymbolError
from stepcell.runtime.serve.adapters.base import STEPPED
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.start import sources_of
from stepcell.runtime.serve.service.store import ServiceStore
from stepcell.runtime.streams.sqlite_store import VERSION

MODEL = load(DATA / "memory.tflite", backend="numpy")
WIDE = load(DATA / "wide.onnx", backend="numpy")
GOOD = [{"stream": "good", "seq": place, "symbol": symbol} for place, symbol in enumerate("301234012")]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("seq", "symbol", "start", "end", "reset", "model", "error", "line")
records = st.fixed_dictionaries({"stream": st.just("bad")}, optional=dict.fromkeys(FIELDS, json_values)).map(
    lambda fields: json.dumps(fields).encode()
)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "state.db"


def served(store, *options, input=b"", model="memory.tflite", **more):
    """What a process says and answers, and how it ends."""
    command = [sys.executable, "-m", "stepcell.cli", "serve", DATA / model, "--store", store, "--backend", "numpy"]
    result = subprocess.run([*command, *map(str, options)], input=input, capture_output=True, timeout=60, **more)
    said = result.stderr.decode()
    assert "Traceback" not in said
    return [json.loads(line) for line in result.stdout.splitlines()], said, result.returncode


def lines_of(*found):
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in found)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_and_no_object_disturb_another_stream(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bad")
    bad = data.draw(st.lists(records | st.binary(max_size=30).map(lambda found: found.replace(b"\n", b"")), max_size=6))
    mixed = list(GOOD)
    for line in bad:
        mixed.insert(data.draw(st.integers(0, len(mixed))), line)
    found = serve_texts(folder / "mixed.db", mixed, MODEL)
    answers = [text for text in found if text.startswith('{"stream": "good"')]
    assert answers == serve_texts(folder / "alone.db", GOOD, MODEL)
    assert all(json.loads(text).keys() & {"symbol", "error", "reset"} for text in found)


def test_one_input_with_everything_that_can_be_wrong(store):
    """Each bad line is answered by its code, with its number, and the good ones as if there were no others."""
    wrong = [
        (b"{", "bad-record"), (b'{"stream": "a", "symbol": ', "bad-record"), (b'{"symbol": "3"} x', "bad-record"),
        (b"\x00\x01\xfe\xff\x7f" * 20, "bad-record"), (b"\xef\xbb\xbf", "unknown-symbol"),
        (b"[1, 2]", "unknown-symbol"),
        (b'{"stream": "a"}', "bad-record"), (b'{"stream": [1], "symbol": "3"}', "bad-record"),
        (b'{"stream": "a", "symbol": {}}', "bad-record"), (b'{"stream": "a", "symbol": NaN}', "unknown-symbol"),
        (b'{"stream": "a", "seq": true, "symbol": "3"}', "bad-record"),
        (b'{"stream": "a", "seq": 1.0, "symbol": "3"}', "bad-record"),
        (b'{"stream": "a", "seq": -1, "symbol": "3"}', "bad-record"),
        (b'{"stream": "a", "seq": "7", "symbol": "3"}', "bad-record"),
        (b'{"stream": "a", "seq": %d, "symbol": "3"}' % 2**70, "bad-record"),
        (b'{"stream": "a", "seq": 1%s, "symbol": "3"}' % (b"0" * 5000), "bad-record"),
        (b'{"a":' * 50_000, "bad-record"), (b"x" * (2**20 + 1), "too-long"), (b"y" * 3 * 2**20, "too-long"),
        (b'{"stream": "good", "seq": 99, "symbol": "3"}', "gap"), (b"open", "unknown-symbol"),
        (b'{"stream": "good", "seq": 9, "sym', "bad-record"),  # the input ends within it
    ]  # fmt: skip
    mixed = [line for pair in zip([line for line, _ in wrong], GOOD * 3, strict=False) for line in pair]
    mixed.pop()
    answers, said, code = served(store, input=lines_of(*mixed).removesuffix(b"\n"))
    assert (code, said) == (0, f"{store}: 0 streams. Serving memory.tflite.\n")
    errors = [answer for answer in answers if "error" in answer]
    assert [error["code"] for error in errors] == [code for _, code in wrong]
    for number, error in enumerate(errors):
        assert f"line {2 * number + 1}" in error["error"].lower()
        assert len(error["error"]) < 600
    good = [answer["symbol"] for answer in answers if answer.get("stream") == "good" and "symbol" in answer]
    assert good == [answer["symbol"] for answer in serve_records(store.with_name("alone.db"), GOOD, MODEL)]


def test_features_that_are_none_move_nothing(store):
    good = {"stream": "a", "symbol": "a", "hour": 3, "speed": [1, 2, 3]}
    wrong = [
        {"speed": [1, 2]}, {"speed": "fast"}, {"speed": [1, 2, None]}, {"speed": [1, 2, 10**400]}, {"hour": 99},
        {"hour": True}, {"hour": 1.5}, {"speed": {}}, {"hour": None},
    ]  # fmt: skip
    answers = serve_records(store, [good, *({**good, **one} for one in wrong), good], WIDE)
    assert [answer.get("code") for answer in answers] == [None, *["bad-record"] * len(wrong), None]
    alone = serve_records(store.with_name("alone.db"), [good, good], WIDE)
    assert [answers[0], answers[-1]] == alone


@pytest.mark.parametrize("policy", ["skip", "use"])
def test_an_unknown_symbol_takes_its_number(store, policy):
    model = MODEL if policy == "skip" else load(DATA / "text.onnx", backend="numpy")
    known = model.vocabulary.symbols[0]
    unknown = {"stream": "a", "seq": 1, "symbol": "\u2603" * 500}
    found = [{"stream": "a", "seq": 0, "symbol": known}, unknown, {"stream": "a", "seq": 2, "symbol": known}]
    answers = serve_records(store, found, model, **({} if policy == "skip" else {"unknown": "use"}))
    assert [answer["seq"] for answer in answers] == [0, 1, 2]
    assert answers[1].get("code" if policy == "skip" else "unknown") in ("unknown-symbol", True)
    assert len(json.dumps(answers[1], ensure_ascii=False)) < 1000


@pytest.mark.parametrize(
    ("options", "bad", "error"),
    [({"unknown": "stop"}, "open", UnknownSymbolError), ({"bad_lines": "stop"}, "{", InputError)],
)
def test_where_it_is_to_stop_all_before_it_is_kept_and_nothing_behind_it(store, options, bad, error):
    output = ListOutput()
    with pytest.raises(error):
        serve_source(store, ListSource([*GOOD[:4], bad, *GOOD[4:]]), MODEL, output, **options)
    assert [json.loads(text)["seq"] for text in output.texts] == [0, 1, 2, 3]
    assert [answer["seq"] for answer in serve_records(store, GOOD, MODEL)] == list(range(4, len(GOOD)))


def test_a_clock_that_jumps_changes_no_answer(store, monkeypatch):
    expected = serve_texts(store.with_name("alone.db"), GOOD, MODEL)
    jumps = iter([0.0, 2e9, 1.0, 4e9, -5.0, 1.7e9] * 100)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    assert serve_texts(store, GOOD, MODEL) == expected


def test_a_disk_that_becomes_read_only_is_waited_for_and_nothing_is_lost(store):
    """As Linux does with a disk that has errors; then somebody mounts it again."""
    source, output = ListSource(GOOD), ListOutput()
    with ServiceStore(store, MODEL.file) as opened:
        service = new_service(MODEL, opened, [source], [output], commit_records=1)
        commit, writable = opened.commit, threading.Event()

        def failing(group):
            if len(output.texts) == 3 and not writable.is_set():
                opened.database.execute("PRAGMA query_only = 1")
                threading.Timer(0.2, writable.set).start()
            elif writable.is_set():
                opened.database.execute("PRAGMA query_only = 0")
            commit(group)

        opened.commit = failing
        service.run()
    assert "attempt to write a readonly database. Nothing is accepted or answered until" in service.told[0]
    assert [outcome.kind for outcome in source.outcomes] == [STEPPED] * len(GOOD)
    assert output.texts == serve_texts(store.with_name("alone.db"), GOOD, MODEL)


def test_a_disk_that_is_read_only_at_the_start_is_an_error(store):
    serve_records(store, GOOD[:1], MODEL)
    with ServiceStore(store, MODEL.file) as opened:
        opened.database.execute("PRAGMA query_only = 1")
        source = ListSource(GOOD)
        with pytest.raises(OutputError, match="readonly database"):
            new_service(MODEL, opened, [source], [ListOutput()]).run()
        assert source.inbox is None  # it has not begun


def test_a_store_of_a_later_version_is_refused_and_stays_as_it_is(store):
    serve_records(store, GOOD[:1], MODEL)
    with closing(sqlite3.connect(store)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = store.read_bytes()
    result = stepcell("serve", DATA / "memory.tflite", "--store", store, "--backend", "numpy")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"has schema {VERSION + 1}; this stepcell reads schema {VERSION} and older. Upgrade with" in result.stderr
    assert store.read_bytes() == before


def test_a_second_service_on_a_store_is_refused_and_the_first_goes_on(store):
    with ServiceStore(store, MODEL.file) as opened:
        result = stepcell("serve", DATA / "memory.tflite", "--store", store, "--backend", "numpy")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "is in use: it belongs to one process at a time" in result.stderr
        assert opened.count() == 0


def test_without_stdin_a_source_is_asked_for(store, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it where stdin is closed
    with pytest.raises(OptionError, match="There is no stdin to read records from. Name another source: --file"):
        sources_of(ServeOptions(store), print)


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_service_and_its_answers_come_again(store):
    command = [sys.executable, "-m", "stepcell.cli", "serve", DATA / "memory.tflite", "--store", store]
    process = subprocess.Popen(
        [*command, "--backend", "numpy"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdin.write(lines_of(GOOD[0]))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["seq"] == 0
    process.stdout.close()
    process.stdin.write(lines_of(GOOD[1]))
    process.stdin.close()
    assert process.wait(60) in (0, 1)
    said = process.stderr.read().decode()
    process.stderr.close()
    assert "Traceback" not in said
    output = ListOutput("stdout")  # of the next service
    serve_source(store, ListSource(GOOD[:3]), MODEL, output)
    assert [json.loads(text)["seq"] for text in output.texts] == [1, 2]  # that of the record 1 had not been delivered
