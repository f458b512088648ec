"""The page to look at, in a real browser, of a real process."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from urllib.parse import quote

import pytest
from support.browser import Browser
from support.models import changed_memory

from stepcell.runtime import Vocabulary

pytestmark = pytest.mark.slow
HOSTILE = "<script>document.title='taken'</script>"
SYMBOLS = (HOSTILE, "open", "load", "close", "<img src=x onerror=document.title='taken'>")
TOKEN = "a-secret-of-32-characters-and-more"


class Server:
    """The command `stepcell serve` with a page, on a port that stays the same from run to run."""

    def __init__(self, folder, *options):
        self.model = changed_memory(folder / "press.tflite", vocabulary=Vocabulary(SYMBOLS))
        self.command = [sys.executable, "-m", "stepcell.cli", "serve", str(self.model), "--store", str(folder / "s.db")]
        self.options, self.port = [*options], 0
        self.start()

    def start(self):
        command = [*self.command, "--http", f"127.0.0.1:{self.port}", *self.options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"Listening on http://127.0.0.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise AssertionError("it did not start")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(20)
        self.process.stderr.close()

    def step(self, stream, *symbols, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = json.dumps([{"symbol": symbol} for symbol in symbols])
        connection.request("POST", f"/v1/streams/{quote(stream, safe='')}/step", body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        assert response.status in (200, 422)
        return json.loads(content)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path, "--alert-below", "0.05")
    yield server
    server.end()


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path) as browser:
        yield browser


def last_symbol(text):
    return f"document.querySelector('#symbols li:last-child')?.textContent === {json.dumps(text)}"


LIVE = "document.getElementById('connection').dataset.state === 'live'"


def test_the_page_shows_a_step_within_a_second(server, browser):
    browser.go(server.url)
    browser.wait(LIVE)
    for symbol in ("open", "load", "close"):
        answer = server.step("press", symbol)[0]
        assert browser.wait(last_symbol(symbol)) < 1
        best = f"document.querySelector('#next li .name')?.textContent === {json.dumps(answer['symbol'])}"
        assert browser.wait(best) < 1
    browser.wait("document.querySelectorAll('#state canvas').length === 2")
    browser.wait("document.querySelectorAll('#next li').length === 5")
    assert browser.value("document.querySelector('#streams button .name').textContent") == "press"
    assert browser.messages == []
    assert {url.partition("/v1/")[0] for url in browser.requested} <= {
        server.url.rstrip("/"), *(server.url + name for name in ("", "page.js", "page.css", "draw.js", "connection.js"))
    }  # fmt: skip


def test_the_page_survives_a_restart_of_the_server(server, browser):
    browser.go(server.url)
    browser.wait(LIVE)
    server.step("press", "open", "load")
    browser.wait(last_symbol("load"))
    server.end(signal.SIGKILL)
    browser.wait("document.getElementById('connection').dataset.state === 'lost'")
    server.start()
    server.step("press", "close")
    browser.wait(last_symbol("close"))
    browser.wait(LIVE)
    assert browser.value("document.querySelector('#symbols').textContent") == "openloadclose"
    browser.wait("document.getElementById('stream-about').textContent.includes('3 symbols seen')")
    assert browser.messages == []


def test_symbols_streams_and_errors_are_text(server, browser):
    browser.go(server.url)
    browser.wait(LIVE)
    server.step(HOSTILE, HOSTILE, SYMBOLS[-1], "open")
    server.step(HOSTILE, "<b>unknown</b>")
    browser.wait("document.querySelector('#problem').textContent.includes('<b>unknown</b>')")
    browser.wait("document.querySelectorAll('#next li').length === 5")
    texts = browser.value("[...document.querySelectorAll('#symbols li')].map((each) => each.textContent)")
    assert texts == [HOSTILE, SYMBOLS[-1], "open", "unknown-symbol"]
    assert browser.value("document.querySelector('#stream-name').textContent") == HOSTILE
    assert browser.value("document.querySelectorAll('body script, img, #symbols b').length") == 0
    assert browser.value("document.title") == "stepcell serve"


def test_a_phone_shows_everything_without_scrolling_sideways(server, browser):
    server.step("a-stream-with-a-very-long-name-" * 4, *["open", "load"] * 40)
    for width in (320, 375, 700, 1280):
        browser.size(width, 800, dark=width == 375)
        browser.go(server.url)
        browser.wait(f"{LIVE} && document.querySelectorAll('#symbols li').length > 0")
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value(
            "[...document.querySelectorAll('main > section, #counters, nav')].every((each) => each.clientWidth > 250)"
        )


def test_streams_are_chosen_with_the_keyboard(server, browser):
    for name in ("drill", "oven", "press"):
        server.step(name, "open")
    browser.go(server.url)
    browser.wait("document.querySelectorAll('#streams button').length === 3")
    for _ in range(9):
        browser.press("Tab")
        if browser.value("document.activeElement.closest('#streams') !== null"):
            break
    assert browser.value("document.activeElement.querySelector('.name').textContent") == "drill"
    browser.press("ArrowDown")
    browser.wait("document.querySelector('#stream-name').textContent === 'oven'")
    assert browser.value("document.querySelector('[aria-current]').textContent").startswith("oven")
    browser.press("ArrowDown")
    browser.press("ArrowUp")
    browser.wait("document.querySelector('#stream-name').textContent === 'oven'")
    server.step("oven", "close")
    browser.wait(last_symbol("close"))
    assert browser.value("document.activeElement.querySelector('.name').textContent") == "oven"


def test_surprise_is_drawn_with_its_threshold_and_said_in_words(server, browser):
    symbols = ["open", HOSTILE, "load", "close", "open", "open", "open", HOSTILE]
    answers = server.step("press", *symbols)
    unusual = sum(answer["alert"] for answer in answers)
    assert unusual
    browser.go(server.url)
    words = f"Of {len(symbols) - 1} symbols {unusual} unusual."
    browser.wait(f"document.getElementById('surprise-text').textContent.endsWith({json.dumps(words)})")
    assert browser.value("document.querySelectorAll('#symbols .alert').length") == unusual
    drawn = "document.getElementById('surprise').getContext('2d').getImageData(0, 0, 900, 200).data.some((x) => x)"
    browser.wait(drawn)


def test_the_page_asks_for_the_token_and_keeps_it_out_of_addresses(tmp_path, browser):
    (tmp_path / "token").write_text(TOKEN)
    server = Server(tmp_path, "--http-token-file", str(tmp_path / "token"))
    try:
        server.step("press", "open", authorization=f"Bearer {TOKEN}")
        browser.go(server.url)
        browser.wait("!document.getElementById('token-form').hidden")
        assert browser.value("document.activeElement.id") == "token"
        for text in ("wrong-token-wrong-token", TOKEN):
            browser.value(f"document.getElementById('token').value = {text!r}")
            browser.press("Enter", "\r")
            time.sleep(0.3)
        browser.wait(last_symbol("open"))
        assert not any(TOKEN in url for url in browser.requested)
        browser.go(server.url)
        browser.wait(last_symbol("open"))
    finally:
        server.end()
