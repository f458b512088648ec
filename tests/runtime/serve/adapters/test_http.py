"""Records by HTTP, of a real server on a free port."""

from __future__ import annotations

import json
import socket
import sys
import time
from itertools import count
from threading import Event, Thread
from urllib.parse import quote

import pytest
from support.http_serving import LOCAL, HttpService
from support.models import DATA
from support.serving import ListOutput, serve_texts

from stepcell.runtime import load
from stepcell.runtime.common.errors import InputError, MissingPackageError, OutputError
from stepcell.runtime.serve.adapters import http_api, http_requests
from stepcell.runtime.serve.adapters.base import Inbox, Incoming
from stepcell.runtime.serve.adapters.http import HttpSource

MODEL = load(DATA / "memory.tflite", backend="numpy")
NUMBERS = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    output = ListOutput()
    with HttpService(tmp_path_factory.mktemp("http") / "state.db", MODEL, outputs=[output], alert_below=0.01) as served:
        served.output = output
        yield served


@pytest.fixture
def stream():
    """The name of a stream of its own."""
    return f"stream-{next(NUMBERS)}"


def expected(tmp_path, stream, symbols, **options):
    lines = [json.dumps({"seq": seq, "symbol": symbol}).encode() for seq, symbol in enumerate(symbols)]
    records = [Incoming(line, stream) for line in lines]
    return serve_texts(tmp_path / "undisturbed.db", records, MODEL, **options)


def test_a_response_is_the_text_of_the_answer(served, stream, tmp_path):
    texts = []
    for seq, symbol in enumerate("30124"):
        status, body, headers = served.raw("POST", f"/v1/streams/{stream}/step", {"seq": seq, "symbol": symbol})
        assert (status, headers["content-type"]) == (200, "application/json")
        texts.append(body.decode())
    assert texts == expected(tmp_path, stream, "30124", alert_below=0.01)
    assert served.output.texts[-5:] == texts


def test_several_records_are_an_array_and_so_are_their_answers(served, stream, tmp_path):
    records = [{"seq": seq, "symbol": symbol} for seq, symbol in enumerate("3012")]
    status, found = served.step(stream, json.dumps(records, indent=2))
    assert status == 200
    assert found == [json.loads(text) for text in expected(tmp_path, stream, "3012", alert_below=0.01)]


def test_the_last_record_again_gets_its_answer_again_and_an_older_one_is_repeated(served, stream):
    path = f"/v1/streams/{stream}/step"
    first = [served.raw("POST", path, {"seq": seq, "symbol": "3"})[:2] for seq in (5, 6)]
    assert served.raw("POST", path, {"seq": 6, "symbol": "3"})[:2] == first[1]
    assert served.step(stream, {"seq": 5, "symbol": "3"}) == (200, {"stream": stream, "seq": 5, "repeated": True})
    assert served.ask("GET", f"/v1/streams/{stream}")[1]["symbols_seen"] == 2


def test_a_gap_names_the_number_that_is_expected_and_moves_nothing(served, stream):
    served.step(stream, {"seq": 5, "symbol": "3"})
    status, found = served.step(stream, {"seq": 8, "symbol": "0"})
    assert (status, found["code"], found["expected"]) == (409, "gap", 6)
    assert served.step(stream, {"seq": 6, "symbol": "0"})[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"seq": 0, "symbol": "3"', 400, "bad-record"),
        ('{"seq": "0", "symbol": "3"}', 400, "bad-record"),
        ('{"seq": 0}', 400, "bad-record"),
        ('{"seq": 0, "symbol": "3", "stream": "another"}', 400, "bad-record"),
        ('{"seq": 0, "symbol": "<script>"}', 422, "unknown-symbol"),
        ('{"symbol": "3", "x": "' + "x" * (1 << 20) + '"}', 413, "too-long"),
    ],
)
def test_an_error_has_a_code_and_a_text(served, stream, body, status, code):
    found = served.step(stream, body)
    assert (found[0], found[1]["code"]) == (status, code)
    assert found[1]["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json", "x"])
def test_json_is_accepted_whatever_the_content_type(served, stream, kind):
    path = f"/v1/streams/{stream}/step"
    assert served.ask("POST", path, {"seq": 0, "symbol": "3"}, content_type=kind)[0] == 200


@pytest.mark.parametrize(("path", "name"), [("a/b", "a/b"), ("", ""), ("%C3%A4%20%3F", "ä ?"), ("x/step", "x/step")])
def test_a_stream_may_have_any_name(served, path, name):
    assert served.step(path, {"symbol": "3"})[1]["stream"] == name
    assert served.ask("GET", f"/v1/streams/{path}")[1]["stream"] == name
    assert served.ask("DELETE", f"/v1/streams/{path}")[0] == 200


def test_a_name_that_is_no_text_is_refused(served):
    assert served.step("%FF", {"symbol": "3"}) == (
        400, {"error": "The stream in the address is no UTF-8.", "code": "bad-record"}
    )  # fmt: skip
    assert served.step("%EF%BF%BD", {"symbol": "3"})[0] == 200


def send(served, stream, content, length):
    """Send a request whose body is said to have `length` bytes; return the socket."""
    connection = socket.create_connection(served.source.address)
    head = f"POST /v1/streams/{stream}/step HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + content)
    return connection


def test_half_a_body_disturbs_no_one_and_is_not_stepped(served, stream):
    content = b'{"seq": 0, "symbol": "3"}'
    with send(served, stream, content, len(content) + 10):
        assert served.step(f"{stream}-other", {"seq": 0, "symbol": "3"})[0] == 200
    time.sleep(0.05)
    assert served.ask("GET", f"/v1/streams/{stream}")[0] == 404


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(served, stream, monkeypatch):
    monkeypatch.setattr(http_api, "BODY_SECONDS", 0.1)
    with send(served, stream, b'{"seq"', 100) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_sender_that_goes_before_its_answer_finds_it_later(served, stream):
    content = b'{"seq": 0, "symbol": "3"}'
    blocked = Event()
    waiting = served.service.inbox.call(lambda service: blocked.wait(10))
    with send(served, stream, content, len(content)):
        time.sleep(0.1)
    blocked.set()
    waiting.result()
    assert served.step(stream, content)[1]["symbol"]
    assert served.ask("GET", f"/v1/streams/{stream}")[1]["symbols_seen"] == 1


@pytest.mark.slow
def test_where_too_many_records_wait_the_sender_is_told_to_come_later(served, stream):
    blocked = Event()
    served.service.inbox.call(lambda service: blocked.wait(20))
    many = json.dumps([{"symbol": "3"}] * 4_200)
    results = []
    sender = Thread(target=lambda: results.append(served.step(stream, many)))
    sender.start()
    while served.service.inbox.waiting < 4_200:
        time.sleep(0.01)
    status, body, headers = served.raw("POST", f"/v1/streams/{stream}/step", {"symbol": "3"})
    assert (status, json.loads(body)["code"], headers["retry-after"]) == (503, "full", "1")
    blocked.set()
    sender.join()
    assert (results[0][0], len(results[0][1])) == (200, 4_200)
    assert served.step(stream, {"symbol": "3"})[0] == 200


def test_a_record_that_is_not_kept_in_time_is_said_to_be_in_doubt(served, stream, monkeypatch):
    monkeypatch.setattr(http_requests, "ANSWER_SECONDS", 0.0)
    blocked = Event()
    served.service.inbox.call(lambda service: blocked.wait(20))
    status, found = served.step(stream, {"seq": 0, "symbol": "3"})
    assert (status, found["code"]) == (503, "timeout")
    blocked.set()
    monkeypatch.undo()
    assert served.step(stream, {"seq": 0, "symbol": "3"})[1]["symbol"]


def test_while_the_store_cannot_be_written_nothing_is_taken(served, stream):
    def set_ready(ready, reason):
        served.call(lambda service: vars(service.status).update(ready=ready, reason=reason))

    set_ready(False, "The disk is full.")
    try:
        status, found = served.step(stream, {"seq": 0, "symbol": "3"})
        assert (status, found["code"]) == (503, "not-ready")
        assert found["error"].startswith("The disk is full.")
        assert served.ask("GET", "/readyz") == (503, {"ready": False, "reason": "The disk is full."})
        assert served.ask("GET", "/healthz") == (200, "ok\n")
    finally:
        set_ready(True, "")
    assert served.ask("GET", "/readyz") == (200, {"ready": True})
    assert served.step(stream, {"seq": 0, "symbol": "3"})[0] == 200


def test_a_service_that_does_not_answer_is_not_ready(served, monkeypatch):
    monkeypatch.setattr(http_requests, "CALL_SECONDS", 0.05)
    blocked = Event()
    served.service.inbox.call(lambda service: blocked.wait(20))
    status, found = served.ask("GET", "/readyz")
    assert (status, found["reason"]) == (503, "The service did not answer in 0.05 s.")
    assert served.ask("GET", "/v1/streams")[0] == 503
    blocked.set()
    served.call(lambda service: None)  # questions that were given up did no harm
    monkeypatch.undo()
    assert served.ask("GET", "/readyz")[0] == 200


def test_the_state_of_a_stream_can_be_asked_for(served, stream):
    assert served.ask("GET", f"/v1/streams/{stream}")[0] == 404
    served.step(stream, {"seq": 3, "symbol": "3"})
    answer = served.step(stream, {"seq": 4, "symbol": "0"})[1]
    status, found = served.ask("GET", f"/v1/streams/{stream}")
    direct = MODEL.stream()
    direct.run(["3", "0"])
    assert (status, found["seq"], found["symbols_seen"], found["answer"]) == (200, 4, 2, answer)
    assert found["next"][0][0] == answer["symbol"]
    assert found["next"][0][1] == pytest.approx(answer["probability"], abs=1e-6)
    assert len(found["next"]) == len(MODEL.vocabulary)
    assert found["state"].keys() == direct.state.keys()


def test_a_stream_can_be_forgotten(served, stream):
    served.step(stream, {"seq": 3, "symbol": "3"})
    assert served.ask("DELETE", f"/v1/streams/{stream}") == (200, {"stream": stream, "forgotten": True})
    status, found = served.ask("DELETE", f"/v1/streams/{stream}")
    assert (status, found["code"]) == (404, "unknown-stream")
    assert served.step(stream, {"seq": 0, "symbol": "3"})[0] == 200


def test_streams_are_listed_in_pages(served):
    names = [f"page-{number}" for number in range(7)]
    for name in names:
        served.step(name, {"symbol": "3"})
    found, after = [], "page-"
    while after is not None:
        page = served.ask("GET", f"/v1/streams?limit=3&after={quote(after)}")[1]
        found, after = [*found, *page["streams"]], page["next"]
    assert [each["stream"] for each in found if each["stream"].startswith("page-")] == names
    assert served.ask("GET", "/v1/streams?limit=x")[0] == 400


def test_what_is_not_there_is_said(served):
    assert served.ask("GET", "/v2") == (404, {"error": "There is nothing at /v2.", "code": "not-found"})
    assert served.ask("PUT", "/v1/streams")[0] == 405


def test_the_end_answers_what_was_taken_and_refuses_the_rest(tmp_path):
    with HttpService(tmp_path / "state.db", MODEL) as served:
        blocked = Event()
        served.service.inbox.call(lambda service: blocked.wait(20))
        results = []
        sender = Thread(target=lambda: results.append(served.step("press", {"seq": 0, "symbol": "3"})))
        sender.start()
        while not served.service.inbox.waiting:
            time.sleep(0.01)
        served.source.stop()
        assert served.step("press", {"seq": 1, "symbol": "3"})[1]["code"] == "stopping"
        blocked.set()
        served.stop()
        sender.join()
        assert results[0][0] == 200
        with pytest.raises(ConnectionRefusedError):
            served.step("press", {"seq": 1, "symbol": "3"})
    with HttpService(tmp_path / "state.db", MODEL) as served:
        assert served.step("press", {"seq": 0, "symbol": "3"}) == results[0]
        assert served.step("press", {"seq": 1, "symbol": "0"})[0] == 200


def test_a_failing_store_ends_the_requests_that_wait(tmp_path):
    with HttpService(tmp_path / "state.db", MODEL, unknown="stop") as served:
        status, found = served.step("press", {"seq": 0, "symbol": "x"})
        assert (status, found["code"]) == (503, "stopping")
    assert "not in the vocabulary" in str(served.error)


def test_an_address_in_use_is_refused(served):
    with pytest.raises(InputError, match=rf"Cannot listen on {served.url}: Address already in use. Stop what listens"):
        HttpSource(served.source.address, None, print).start(Inbox(), None)


def test_without_the_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'stepcell\[serve\]'"):
        HttpSource(LOCAL, None, print).start(Inbox(), None)


def test_a_fault_is_told_and_is_a_response(served, monkeypatch):
    def fails(service):
        raise OutputError("The store cannot be read.")

    monkeypatch.setattr(http_api, "streams_of", lambda *_: fails(None))
    status, found = served.ask("GET", "/v1/streams")
    assert (status, found["code"]) == (500, "internal")
    assert served.told[-1] == "GET /v1/streams: OutputError: The store cannot be read."
