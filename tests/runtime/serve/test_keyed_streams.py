"""Many streams in one input: each key has a state of its own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA
from support.predicting import predict, where

from stepcell.runtime import load
from stepcell.runtime.serve.keyed_streams import KeyedStreams

KEYED = ("--key", "machine", "--symbol-field", "event")
INTERLEAVED = [
    (key, symbol) for left, right in zip("3012", "4012", strict=True) for key, symbol in (("a", left), (7, right))
]
MODEL = load(DATA / "memory.tflite")


def records(*pairs, **more):
    return "".join(json.dumps({"machine": key, "event": symbol, **more}) + "\n" for key, symbol in pairs)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("01234")), max_size=25), st.integers(1, 3))
def test_each_key_is_answered_to_the_bit_as_by_a_stream_of_its_own(steps, limit):
    keyed, streams, told = KeyedStreams(MODEL, limit, print), {}, []
    for key, symbol in steps:
        expected = streams.pop(key, None) or MODEL.stream()
        streams[key] = expected
        answer = keyed.select(key).step(symbol)
        keyed.keep(key)
        assert answer.probabilities.tobytes() == expected.step(symbol).probabilities.tobytes()
        assert keyed.stream.symbols_seen == expected.symbols_seen
        if len(streams) > limit:
            told.append(streams.pop(next(iter(streams))))
    assert keyed.forgotten == len(told)
    found = keyed.snapshots()
    assert list(found) == list(streams)
    for key, stream in streams.items():
        assert {name: array.tobytes() for name, array in found[key].state.items()} == {
            name: array.tobytes() for name, array in stream.state.items()
        }
    again = KeyedStreams(MODEL, limit, print)
    again.restore(found)
    for key, stream in streams.items():
        assert again.select(key).step("0").probabilities.tobytes() == stream.step("0").probabilities.tobytes()


def test_keys_are_answered_with_their_key_and_their_count():
    result = predict(*KEYED, input=records(*INTERLEAVED, time="12:00"))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["a\t0", "7\t0", "a\t1", "7\t1", "a\t2", "7\t2", "a\t3", "7\t4"]
    answer = json.loads(predict(*KEYED, "--json", input=records(*INTERLEAVED)).stdout.splitlines()[-1])
    assert (answer["stream"], answer["seen"], answer["input"], answer["symbol"]) == ("7", 4, "2", "4")
    assert predict(*KEYED, input=records(("a\tb\nc", 3))).stdout == '"a\\tb\\nc"\t0\n'


def test_streams_are_saved_together_and_go_on_together(tmp_path):
    path = tmp_path / "all.state"
    for part, expected in ((INTERLEAVED[:5], "a\t2"), (INTERLEAVED[5:], "7\t4")):
        result = predict(*KEYED, "--state", path, input=records(*part))
        assert result.stdout.splitlines()[-1] == expected
    assert "all.state: 5 symbols seen, 5 lines read, 2 streams\n" in result.stderr
    assert {key: seen for key, (seen, _) in where(path).items()} == {"a": 4, "7": 4}


def test_of_too_many_streams_the_one_not_seen_for_longest_is_forgotten_and_the_user_is_told(tmp_path):
    path = tmp_path / "all.state"
    lines = records(("a", "3"), ("b", "4"), ("a", "0"), ("c", "3"), ("b", "0"))
    result = predict(*KEYED, "--max-streams", "2", "--json", "--state", path, input=lines)
    seen = [(answer["stream"], answer["seen"]) for answer in map(json.loads, result.stdout.splitlines())]
    assert seen == [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("b", 1)]
    assert "There are more than 2 streams: 'b', not seen for the longest time, is forgotten" in result.stderr
    result = predict(*KEYED, "--max-streams", "1", "--state", path, input="")
    assert "5 symbols seen, 5 lines read, 1 stream, 3 forgotten" in result.stderr
    assert list(where(path)) == ["c", "b"]  # nothing was read, so nothing was saved
    predict(*KEYED, "--max-streams", "2", "--state", path, input=records(("d", "3")))
    assert list(where(path)) == ["b", "d"]


def test_a_line_that_is_refused_makes_no_stream_and_forgets_none(tmp_path):
    path = tmp_path / "all.state"
    lines = records(("a", "3"), ("b", "x"))
    assert predict(*KEYED, "--max-streams", "1", "--state", path, input=lines).exit_code == 1
    assert list(where(path)) == ["a"]
    predict(*KEYED, "--max-streams", "1", "--state", path, "--unknown", "skip", input=records(("b", "x")))
    assert list(where(path)) == ["a"]


def test_a_state_of_other_streams_is_refused(tmp_path):
    alone, keyed = tmp_path / "alone.state", tmp_path / "keyed.state"
    predict("--state", alone, input="3\n")
    predict(*KEYED, "--state", keyed, input="")
    predict(*KEYED, "--state", keyed, input=records(("a", "3")))
    before = keyed.read_bytes()
    for path, options, message in (
        (alone, KEYED, "alone.state holds one stream without keys: leave out --key"),
        (keyed, (), "keyed.state holds 1 streams by key: add --key machine"),
        (keyed, ("--key", "other"), "keyed.state holds a stream for each 'machine', not for each 'other'"),
    ):
        result = predict(*options, "--state", path, input="")
        assert result.exit_code == 1
        assert message in result.stderr
    assert keyed.read_bytes() == before


@pytest.mark.parametrize("line", ["3", '{"event": "3"}'])
def test_a_record_that_is_refused_ends_the_command(line):
    result = predict(*KEYED, input=line + "\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Line 1: " in result.stderr


def test_streams_by_key_read_features():
    wide = DATA / "wide.onnx"
    lines = [{"k": k, "symbol": "a", "hour": hour, "speed": [hour, 0, 1]} for hour in range(3) for k in "xy"]
    result = predict("--key", "k", "--json", input="".join(json.dumps(line) + "\n" for line in lines), model=str(wide))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["stream"], answer["seen"]) for answer in answers] == [(k, n) for n in (1, 2, 3) for k in "xy"]
    assert answers[4]["probability"] == answers[5]["probability"] != answers[2]["probability"]
    result = predict("--key", "k", input='{"k": "x", "symbol": "a", "speed": [1, 0, 1]}\n', model=str(wide))
    assert "hour is missing" in result.output


def test_a_line_may_start_and_end_the_sequence_of_its_stream():
    lines = [{"machine": "a", "event": symbol} for symbol in "4012401"]
    lines[2] |= {"end": True}
    lines[5] |= {"start": True}
    lines.insert(5, {"machine": "a", "end": True})
    result = predict(*KEYED, "--json", input="".join(json.dumps(line) + "\n" for line in lines))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["seen"] for one in answers] == [1, 2, 3, 1, 2, 0, 1, 2]
    assert [one.get("reset") for one in answers] == [None] * 5 + [True] + [None] * 2


@pytest.mark.parametrize("bound", ["start", "end", "reset"])
def test_a_sequence_starts_and_ends_at_a_symbol_that_is_skipped_too(bound):
    lines = records(("a", 4), ("a", 0)) + records(("a", "x"), **{bound: True}) + records(("a", 0))
    answers = predict(*KEYED, "--json", "--unknown", "skip", input=lines).stdout.splitlines()
    assert [json.loads(line)["seen"] for line in answers] == [1, 2, 0, 1]
