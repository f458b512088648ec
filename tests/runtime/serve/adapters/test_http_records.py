"""Bodies of requests as records, and what became of records as responses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.serve.adapters.base import REFUSED, REPEATED, SKIPPED, STEPPED, Incoming, Outcome
from stepcell.runtime.serve.adapters.http_records import BadBodyError, parse_body, response_to

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=5)
RECORD = Incoming(b"")


@given(OBJECTS, st.sampled_from([None, 0, 3]), st.booleans())
def test_the_objects_of_an_array_are_its_records_each_on_one_line(objects, indent, ascii):
    found = parse_body(json.dumps(objects, indent=indent, ensure_ascii=ascii).encode())
    assert found.is_array
    assert [json.loads(each) for each in found.contents] == objects
    assert all(b"\n" not in each for each in found.contents)
    (one,) = parse_body(json.dumps(objects[0], indent=indent).encode()).contents
    assert json.loads(one) == objects[0]


@given(st.binary(max_size=40))
def test_any_bytes_are_records_or_no_body(body):
    try:
        found = parse_body(body)
    except BadBodyError:
        return
    assert all(isinstance(json.loads(each), dict) for each in found.contents)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "The body is empty."),
        (b" \n", "The body is empty."),
        (b'{"seq": 8,', "The body is no JSON (Expecting property name"),
        (b'{"seq": 8} x', "The body is no JSON (Extra data"),
        (b'[{"seq": 8}, {"seq": 9}', "The body is no JSON (Expecting ',' delimiter"),
        (b'[{"seq": 8},]', "The body is no JSON (Expecting value"),
        (b'[{"seq": 8}] [', "The body is no JSON (Extra data"),
        (b'[{"seq": 8}', "The body is no JSON (Expecting ',' delimiter"),
        (b"open", "The body is no JSON (Expecting value"),
        (b'"open"', "The body is a JSON string."),
        (b"7", "The body is a JSON number."),
        (b"null", "The body is a JSON null."),
        (b"[]", "The array is empty."),
        (b'[{"seq": 8}, 9]', "Item 1 of the array is a JSON number."),
        (b"[[]]", "Item 0 of the array is a JSON array."),
        (b"[true]", "Item 0 of the array is a JSON boolean."),
        (b'{"symbol": "\xff"}', "The body is no UTF-8 (invalid start byte at byte 12)."),
        (b"[" * 100_000, "The body is nested too deeply."),
        (b'{"a":' * 100_000, "The body is nested too deeply."),
    ],
)
def test_a_body_that_is_no_record_says_why_and_what_to_send(body, problem):
    with pytest.raises(BadBodyError) as raised:
        parse_body(body)
    assert str(raised.value).startswith(problem)
    assert str(raised.value).endswith('Send a JSON object, {"seq": 8, "symbol": "close"}, or an array of such objects.')


def test_the_response_is_the_answer_as_it_is():
    answer = '{"stream": "ö", "seq": 7}'
    assert response_to([Outcome(RECORD, STEPPED, answer, "ö", 7)], is_array=False) == (200, answer.encode())
    assert response_to([Outcome(RECORD, REPEATED, answer, "ö", 7)], is_array=False) == (200, answer.encode())


def test_a_record_before_the_last_one_is_said_to_be_repeated():
    status, body = response_to([Outcome(RECORD, REPEATED, None, "press", 3)], is_array=False)
    assert (status, body) == (200, b'{"stream": "press", "seq": 3, "repeated": true}')


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (SKIPPED, "bad-record", 400), (SKIPPED, "unknown-symbol", 422), (SKIPPED, "not-finite", 422),
        (SKIPPED, "too-long", 413), (REFUSED, "gap", 409), (REFUSED, "not-started", 409), (REFUSED, "backend", 500),
        (REFUSED, "damaged", 500), (REFUSED, "another", 503), (SKIPPED, "another", 422),
    ],
)  # fmt: skip
def test_each_code_has_its_status(kind, code, status):
    assert response_to([Outcome(RECORD, kind, "{}", "press", 3, code)], is_array=False)[0] == status


def test_an_array_has_the_answers_in_order_and_the_status_of_its_first_error():
    outcomes = [
        Outcome(RECORD, STEPPED, '{"seq": 1}', "press", 1),
        Outcome(RECORD, SKIPPED, '{"seq": 2}', "press", 2, "unknown-symbol"),
        Outcome(RECORD, REFUSED, '{"seq": 4}', "press", 4, "gap", 3),
    ]
    status, body = response_to(outcomes, is_array=True)
    assert (status, json.loads(body)) == (422, [{"seq": 1}, {"seq": 2}, {"seq": 4}])
    assert response_to(outcomes[:1], is_array=True) == (200, b'[{"seq": 1}]')
