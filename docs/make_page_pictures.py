"""Makes the pictures of the page of `stepcell serve` anew, from a real run: python docs/make_page_pictures.py.

A log of presses is written and learned from, the network is served by HTTP, and records of several presses are sent,
some of them wrong; a headless Chromium takes the pictures, wide and as on a phone. Two minutes on two cores.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "tests")]

from make_gallery import smaller  # noqa: E402
from support.browser import Browser  # noqa: E402

WORK = DOCS.parent / "build" / "page"
STEPCELL = [sys.executable, "-m", "stepcell.cli"]
SIZES = {"page.png": (1200, 800, False), "page-phone.png": (375, 760, True)}


def events(seed: int) -> Iterator[str]:
    """Yield the events of a press: how often it presses depends on the material some events before."""
    chance = random.Random(seed)
    while True:
        material = chance.choice(["steel", "brass"])
        yield from ("open", material, "load", "close", "heat", *["press"] * (3 if material == "steel" else 1), "hold")
        yield from ("release", "eject")
        if chance.random() < 0.1:
            yield "clean"


def run(*arguments: str) -> None:
    """Run a command of stepcell in the folder of work."""
    print("stepcell", *arguments, flush=True)
    subprocess.run([*STEPCELL, *arguments], cwd=WORK, check=True, stdout=subprocess.DEVNULL)


def learn() -> None:
    """Train, export and calibrate, unless that has been done."""
    if (WORK / "threshold.json").exists():
        return
    WORK.mkdir(parents=True, exist_ok=True)
    for name, seed in (("learn", 1), ("normal", 2)):
        source = events(seed)
        (WORK / f"{name}.csv").write_text("event\n" + "".join(f"{next(source)}\n" for _ in range(6000)))
    run("train", "events", "learn.csv", "--symbol", "event", "--units", "24", "--max-updates", "500", "--seed", "1",
        "--out", "run")  # fmt: skip
    run("export", "run", "--format", "tflite", "--steps", "1000", "--out", "press")
    (WORK / "press" / "model.tflite").rename(WORK / "press.tflite")
    run("calibrate", "press.tflite", "normal.csv", "--false-alarms", "0.001", "--out", "threshold.json")


def send(port: int, streams: dict[str, Iterator[str]], count: int) -> None:
    """Send events of presses in turn; now and then one press does something else."""
    chance, connection = random.Random(5), http.client.HTTPConnection("127.0.0.1", port)
    for number in range(count):
        for place, (stream, source) in enumerate(streams.items()):
            symbol = next(source)
            if place == 0 and number in (count - 121, count - 78, count - 46):
                symbol = "eject"
            elif place and chance.random() < 0.004:
                symbol = "release"
            path = f"/v1/streams/{stream}/step"
            connection.request("POST", path, json.dumps({"seq": number, "symbol": symbol}))
            connection.getresponse().read()
        time.sleep(0.03)


def main() -> None:
    """Make the pictures."""
    learn()
    (WORK / "state.db").unlink(missing_ok=True)
    command = [*STEPCELL, "serve", "press.tflite", "--store", "state.db", "--http", "127.0.0.1:0"]
    server = subprocess.Popen([*command, "--threshold", "threshold.json"], cwd=WORK, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        port = next(int(found[1]) for line in server.stderr if (found := re.search(r"127\.0\.0\.1:(\d+)", line)))
        streams = {f"press-{number}": events(number + 10) for number in range(1, 6)}
        with Browser(WORK) as browser:
            browser.size(1200, 800)
            browser.go(f"http://127.0.0.1:{port}/")
            sender = Thread(target=send, args=(port, streams, 440))
            sender.start()
            browser.wait("Number(document.querySelector('#streams .seq').textContent.slice(1)) >= 400", 120)
            for name, (width, height, dark) in SIZES.items():
                browser.size(width, height, dark=dark)
                time.sleep(0.4)
                (DOCS / "pictures" / name).write_bytes(smaller(browser.picture(), 128))
                print(name)
            sender.join()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
