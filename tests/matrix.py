"""Test the abi3 wheel on every Python of the classifiers that this machine has: make test-matrix

Only tests/runtime, in environments without TensorFlow: the wheel with the interpreters that have wheels for that
Python. The environments stay in .venv-matrix for the next time. Exit code 1 where a test fails; a Python that is not
there is named, and is no failure.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from wheels import ENVIRONMENT, ROOT, build_wheel

ENVIRONMENTS = ROOT / ".venv-matrix"
EXTRAS = "tflite,litert,onnx,plot,parquet,serve,tflm"


def run(*command: str | Path) -> bool:
    """Run a command in the root of the project, without what the shell adds to Python's path."""
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=ENVIRONMENT, check=False).returncode == 0


def versions() -> list[str]:
    """The Pythons of the classifiers."""
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())


def interpreter(version: str) -> Path | None:
    """Return a Python of `version`: one on the path, or one of pyenv."""
    candidates = [shutil.which(f"python{version}")]
    candidates += sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")))
    code = f"import sys, venv; sys.exit('{version}' != '%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):  # a shim of pyenv may be there without what it stands for
        if subprocess.run([candidate, "-c", code], capture_output=True, check=False).returncode == 0:
            return Path(candidate)
    return None


def test(version: str, python: Path, wheel: Path) -> bool:
    """Install `wheel` for one Python and run the tests of the runtime against it."""
    folder = ENVIRONMENTS / version
    mine = folder / "bin" / "python"
    pip = (mine, "-m", "pip", "install", "--quiet", "-c", "constraints.txt")
    ready = mine.exists() or (run(python, "-m", "venv", folder) and run(*pip, "--upgrade", "pip"))
    return (
        ready
        and run(*pip, f"{wheel}[{EXTRAS}]", "--group", "test")
        and run(*pip, "--no-deps", "--force-reinstall", wheel)
        and run(mine, "-m", "pytest", "tests/runtime", "-q", "-m", "not slow", "-n", "auto", "--dist", "loadscope",
                "-o", "cache_dir=.pytest_cache/matrix")
    )  # fmt: skip


def main(wanted: list[str]) -> int:
    """Test all Pythons, or those that are `wanted`; print a line for each."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder), pure=False)
        for version in wanted or versions():
            python = interpreter(version)
            if python is None:
                results[version] = "missing: no such Python on this machine"
                continue
            print(f"----- Python {version}: {python}", flush=True)
            results[version] = "passed" if test(version, python, wheel) else "FAILED"
    print(*(f"Python {version}: {result}" for version, result in results.items()), sep="\n")
    return int("FAILED" in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
