"""Makes the pictures of the page of `stepcell demo` anew, from a real run: python docs/make_demo_pictures.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "tests")]

from make_gallery import smaller  # noqa: E402
from support.browser import Browser  # noqa: E402

WORK = DOCS.parent / "build" / "demo-page"
SECTIONS = {"demo.png": ("state-title", False), "demo-swap.png": ("swap-title", True)}  # title, and whether dark


def main() -> None:
    """Make the pictures."""
    WORK.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "stepcell.cli", "demo", "--page", "demo.html"]
    subprocess.run(command, cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    with Browser(WORK) as browser:
        for name, (title, dark) in SECTIONS.items():
            browser.size(1200, 800, dark=dark)
            browser.go((WORK / "demo.html").as_uri())
            browser.wait("document.getElementById('resumed') !== null")
            for _ in range(5):
                browser.press("ArrowRight")
            section = f"document.getElementById('{title}').parentElement"
            browser.value(f"{section}.style.outline = '0.8rem solid var(--ground)'")
            box = browser.value(f"{section}.getBoundingClientRect().toJSON()")
            clip = {"x": box["x"] - 12, "y": box["y"] - 12, "width": box["width"] + 24, "height": box["height"] + 24}
            (DOCS / "pictures" / name).write_bytes(smaller(browser.picture(clip), 200))
            print(name)


if __name__ == "__main__":
    main()
