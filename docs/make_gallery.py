"""Makes the pictures of the gallery anew, by the commands that stand on its page: python docs/make_gallery.py.

Some minutes on two cores. The commands are read from gallery.md and run in build/gallery, in their order; then each
picture that the page shows is taken from there, with few colours. A report is one HTML file: its pictures are taken out
of it.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
WORK = DOCS.parent / "build" / "gallery"
COLOURS = 32
LARGEST = 80_000  # bytes


def main() -> None:
    """Run the commands of the page and write what they draw into pictures/."""
    page = (DOCS / "gallery.md").read_text()
    WORK.mkdir(parents=True, exist_ok=True)
    if not (WORK / "examples").exists():
        (WORK / "examples").symlink_to(DOCS.parent / "examples")
    for commands in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        print(commands, end="", flush=True)
        path = f"PATH={Path(sys.executable).parent}:$PATH\n"
        subprocess.run(["bash", "-euc", path + commands], cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    for name, source in re.findall(r"!\[[^\]]*\]\(pictures/([\w.-]+)\)\n<!-- from (\S+) -->", page):
        path, _, number = source.partition("#")
        if path.endswith(".py"):  # makes its pictures itself
            continue
        content = (WORK / path).read_bytes()
        if number:
            content = b64decode(re.findall(rb'src="data:image/png;base64,([^"]+)"', content)[int(number) - 1])
        small = smaller(content)
        (DOCS / "pictures" / name).write_bytes(small)
        print(f"{name}: {len(content):,} bytes, {len(small):,} with {COLOURS} colours")
        if len(small) > LARGEST:
            raise SystemExit(f"{name} is larger than {LARGEST:,} bytes. Make it smaller.")


def smaller(content: bytes, colours: int = COLOURS) -> bytes:
    """Return a picture with few colours."""
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(colours).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
