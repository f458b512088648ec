"""Build the two wheels and the source distribution, from the files of the project alone: make wheels

One wheel is for Python 3.10 and later on this kind of machine (abi3) and has the compiled engine inside, or is not
there; one is pure, for all machines. Where Debian's gcc-aarch64-linux-gnu is installed there is one for 64-bit ARM too;
`make pi` steps it on emulated Raspberry Pi OS.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
ENGINE = "stepcell/runtime/interpreters/native/_engine."
# For setuptools: the compiler for 64-bit ARM. The headers of Python are those of this machine, whose types are as wide.
AARCH64 = {
    "CC": "aarch64-linux-gnu-gcc",
    "LDSHARED": "aarch64-linux-gnu-gcc -shared",
    "_PYTHON_HOST_PLATFORM": "linux-aarch64",
}
_PROCESSORS = {62: "x86_64", 183: "aarch64"}  # numbers in the header of an ELF file
_TABLE = re.compile(r"\[\[tool\.setuptools\.ext-modules\]\]\n(?:.+\n)+")  # of the engine in pyproject.toml


def copy_source(folder: Path) -> Path:
    """Copy the files of the project and return where they are: a build/ that lies about would end up in a wheel."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def can_build_for_aarch64() -> bool:
    """Tell whether a wheel for 64-bit ARM can be built on this machine, which is another one."""
    return sys.platform == "linux" and platform.machine() == "x86_64" and shutil.which(AARCH64["CC"]) is not None


def build_wheel(folder: Path, *, pure: bool, aarch64: bool = False) -> Path:
    """Build a wheel into `folder`, and return its path.

    Args:
        folder: An existing folder.
        pure: The one without the engine.
        aarch64: The one with the engine for 64-bit ARM.

    Raises:
        SystemExit: It cannot be built, or its name does not say what is inside. There is no wheel then.
    """
    with tempfile.TemporaryDirectory() as work:
        source, made = copy_source(Path(work) / "source"), Path(work) / "wheel"
        project = source / "pyproject.toml"
        text = project.read_text(encoding="utf-8")
        table = _TABLE.search(text)
        assert table is not None, "pyproject.toml has no table of the engine"
        required = table[0].replace("optional = true", "optional = false")
        assert required != table[0], "the engine is not optional"
        project.write_text(text.replace(table[0], "" if pure else required), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(made)]
        environment = ENVIRONMENT | (AARCH64 if aarch64 else {})
        if subprocess.run([*pip, str(source)], env=environment, check=False).returncode:
            raise SystemExit("There is no wheel: it could not be built.")
        (path,) = made.glob("*.whl")
        problem = problem_of(path)
        if problem or pure != path.name.endswith("-py3-none-any.whl"):
            raise SystemExit(f"There is no wheel: {problem or 'it is of the other kind'}.")
        return Path(shutil.move(path, folder / path.name))


def build_sdist(folder: Path) -> Path:
    """Build the source distribution into `folder`, and return its path.

    Raises:
        SystemExit: It cannot be built.
    """
    with tempfile.TemporaryDirectory() as work:
        source, made = copy_source(Path(work) / "source"), Path(work) / "sdist"
        build = [sys.executable, "-m", "build", "--sdist", "--outdir", str(made), str(source)]
        if subprocess.run(build, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=False).returncode:
            raise SystemExit("There is no source distribution: it could not be built.")
        (path,) = made.glob("*.tar.gz")
        return Path(shutil.move(path, folder / path.name))


def problem_of(wheel: Path) -> str:
    """Return what is wrong with the name of a wheel, "" if it is right."""
    with zipfile.ZipFile(wheel) as archive:
        engines = [name for name in archive.namelist() if name.startswith(ENGINE) and not name.endswith(".pyi")]
        headers = [archive.read(name)[:20] for name in engines]
    tag = wheel.name.removesuffix(".whl").split("-", 2)[-1]
    if tag == "py3-none-any":
        return f"{wheel.name} is for all machines and has {engines[0]} inside" if engines else ""
    if not tag.startswith("cp310-abi3-"):
        return f"{wheel.name} is for one version of Python"
    if [Path(name).name.split(".")[1] for name in engines] not in (["abi3"], ["pyd"]):
        return f"{wheel.name} has no engine by the stable interface inside, but {engines or 'none'}"
    for header in headers:
        processor = _PROCESSORS.get(int.from_bytes(header[18:20], "little")) if header.startswith(b"\x7fELF") else None
        if processor is not None and not tag.endswith(processor):
            return f"{wheel.name} has the engine of {processor} inside"
    return ""


def main() -> None:
    """Build all into dist/, and check that a package index takes and shows them."""
    folder = ROOT / "dist"
    folder.mkdir(exist_ok=True)
    made = [build_wheel(folder, pure=pure) for pure in (False, True)]
    made += [build_wheel(folder, pure=False, aarch64=True)] if can_build_for_aarch64() else []
    made += [build_sdist(folder)]
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, made)]
    if subprocess.run(command, env=ENVIRONMENT, stdout=sys.stderr, check=False).returncode:
        raise SystemExit("A package index would not take them, or not show them.")
    for path in made:
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
