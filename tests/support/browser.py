"""A headless Chromium that a test steers, by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

COMMAND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_CODES = {"Tab": 9, "Enter": 13, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39}


class Browser:
    """One page in a browser of its own."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 900) -> None:
        from_browser, to_test = os.pipe()
        from_test, to_browser = os.pipe()

        def give() -> None:  # the browser reads from 3 and writes to 4
            os.dup2(from_test, 13)
            os.dup2(to_test, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        command = [
            COMMAND,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--no-first-run",
        ]
        command += ["--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self.process = subprocess.Popen(
            command, preexec_fn=give, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(from_test)
        os.close(to_test)
        self.reading, self.writing = from_browser, to_browser
        self.rest, self.count, self.session = b"", 0, None
        self.messages: list[str] = []  # of the console, and exceptions
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.requested: set[str] = set()
        self.size(width, height)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.reading)
        os.close(self.writing)

    def call(self, method: str, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            found = self.read()
            if found.get("id") == self.count:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]
            self.note(found)

    def read(self):
        while b"\0" not in self.rest:
            part = os.read(self.reading, 1 << 16)
            if not part:
                raise RuntimeError("The browser has ended.")
            self.rest += part
        found, _, self.rest = self.rest.partition(b"\0")
        return json.loads(found)

    def note(self, event) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.messages.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["source"] != "network":
            self.messages.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requested.add(params["request"]["url"])

    def size(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def go(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def value(self, script: str):
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 20.0) -> float:
        """Wait until an expression is true; return how long it took."""
        begin = time.monotonic()
        while not self.value(f"(() => {{ try {{ return {script}; }} catch {{ return false; }} }})()"):
            if time.monotonic() - begin > seconds:
                raise AssertionError(f"not within {seconds} s: {script}; {self.messages}")
            time.sleep(0.02)
        return time.monotonic() - begin

    def press(self, key: str, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            pressed = {"key": key, "code": key, "windowsVirtualKeyCode": _CODES[key]}
            self.call("Input.dispatchKeyEvent", type=kind, text=text if kind == "keyDown" else "", **pressed)

    def picture(self, clip: dict[str, float] | None = None) -> bytes:
        """Return a PNG of what is visible, or of a part of the page."""
        part = {"clip": {**clip, "scale": 1}} if clip else {}
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **part)
        return base64.b64decode(found["data"])
