"""Who may ask a server of HTTP."""

from __future__ import annotations

import logging

import pytest
from support.http_serving import HttpService
from support.models import DATA

from stepcell.runtime import load
from stepcell.runtime.common.errors import OptionError
from stepcell.runtime.serve.adapters.http import HttpSource
from stepcell.runtime.serve.adapters.http_guard import Address, parse_address, read_token

MODEL = load(DATA / "memory.tflite", backend="numpy")
TOKEN = "a-secret-of-32-characters-and-ö".replace("ö", "o")
RECORD = {"symbol": "3"}
STEP = "/v1/streams/press/step"


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with HttpService(tmp_path_factory.mktemp("local") / "state.db", MODEL) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with HttpService(tmp_path_factory.mktemp("guarded") / "state.db", MODEL, token=TOKEN) as served:
        yield served


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        (":8080", "127.0.0.1", 8080, True),
        ("localhost:1", "localhost", 1, True),
        ("[::1]:8080", "::1", 8080, True),
        ("127.8.8.8:0", "127.8.8.8", 0, True),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("[::]:8080", "::", 8080, False),
        ("pi.local:8080", "pi.local", 8080, False),
        ("192.168.0.7:8080", "192.168.0.7", 8080, False),
        ("http://127.0.0.1:8080/", "127.0.0.1", 8080, True),
    ],
)
def test_an_address_is_a_host_and_a_port(text, host, port, loopback):
    address = parse_address(text)
    assert address == (host, port)
    assert address.is_loopback == loopback


@pytest.mark.parametrize("text", ["8080", "localhost", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "h:-1", ""])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(OptionError, match="--http wants HOST:PORT, as in 127.0.0.1:8080, and was given"):
        parse_address(text)


def test_an_address_that_other_machines_reach_wants_a_token():
    with pytest.raises(OptionError, match="can be reached from other machines, so it wants --http-token-file"):
        HttpSource(Address("0.0.0.0", 0), None, print)
    assert HttpSource(Address("0.0.0.0", 0), TOKEN, print).address.host == "0.0.0.0"


def test_a_token_is_read_from_its_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert read_token(path) == TOKEN


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"short", "at least 16 characters"), (b"", "at least 16"), (b"two words of a token", "without spaces"),
     ("ö".encode() * 20, "it is no ASCII text"), (None, "No such file")],
)  # fmt: skip
def test_a_file_without_a_token_is_refused_and_its_content_is_not_shown(tmp_path, content, problem):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionError, match=problem) as raised:
        read_token(path)
    assert "two words" not in str(raised.value)


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"bearer {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer "])
@pytest.mark.parametrize("path", ["/v1/streams", "/v1/answers", "/metrics", "/readyz", "/v1/status", "/nothing"])
def test_without_the_token_nothing_is_told(guarded, path, header):
    headers = {} if header is None else {"authorization": header}
    status, body, found = guarded.raw("GET", path, **headers)
    assert (status, found["www-authenticate"]) == (401, "Bearer")
    assert TOKEN.encode() not in body


def test_with_the_token_everything_is_answered(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    right = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.ask("POST", STEP, RECORD)[0] == 401
    assert guarded.ask("POST", STEP, RECORD, **right)[0] == 200
    assert guarded.ask("GET", "/v1/streams/press", **right)[1]["symbols_seen"] == 1
    assert guarded.ask("GET", "/readyz", host="pi.example:80", **right)[0] == 200
    assert TOKEN not in caplog.text + "".join(guarded.told)


@pytest.mark.parametrize("path", ["/healthz", "/", "/page.js", "/page.css"])
def test_health_and_the_page_without_data_need_no_token(guarded, path):
    assert guarded.ask("GET", path)[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "LOCALHOST:8080", "[::1]:9", "127.0.0.1:8080"])
def test_without_a_token_the_names_of_this_machine_are_answered(local, host):
    assert local.ask("GET", "/readyz", host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "127.evil.example", "localhost.", "[::2]"]
)
def test_another_name_of_this_machine_is_refused(local, host):
    status, found = local.ask("GET", "/v1/streams", host=host)
    assert (status, found["code"]) == (403, "host")


def test_a_page_of_another_site_changes_nothing(local):
    status, found = local.ask("POST", STEP, RECORD, origin="http://evil.example", content_type="text/plain")
    assert (status, found["code"]) == (403, "origin")
    assert local.ask("DELETE", "/v1/streams/press", origin="null")[0] == 403
    assert local.ask("POST", STEP, RECORD, origin=local.url)[0] == 200


def test_the_page_may_load_nothing_from_elsewhere_and_run_nothing_of_its_text(local):
    for path in ("/", "/page.js", "/draw.js", "/connection.js", "/page.css"):
        status, _, headers = local.raw("GET", path)
        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; ")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
