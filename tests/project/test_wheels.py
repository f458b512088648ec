"""The name of a wheel says what is inside."""

from __future__ import annotations

import zipfile

import pytest
from wheels import ENGINE, ENVIRONMENT, build_wheel, problem_of

ABI3, PURE = "cp310-abi3-linux_x86_64", "py3-none-any"


def wheel(folder, tag, *names, content=b""):
    path = folder / f"stepcell-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("stepcell/__init__.py", f"{ENGINE}pyi", *names):
            archive.writestr(name, content)
    return path


def test_right_names_are_right(tmp_path):
    assert problem_of(wheel(tmp_path, PURE)) == ""
    assert problem_of(wheel(tmp_path, ABI3, f"{ENGINE}abi3.so")) == ""
    assert problem_of(wheel(tmp_path, "cp310-abi3-win_amd64", f"{ENGINE}pyd")) == ""


@pytest.mark.parametrize(
    ("tag", "inside"),
    [
        (ABI3, []),
        (ABI3, ["cpython-311-x86_64-linux-gnu.so"]),
        (PURE, ["abi3.so"]),
        ("cp311-cp311-linux_x86_64", ["abi3.so"]),
        ("cp311-cp311-linux_x86_64", []),
    ],
)
def test_a_name_that_says_something_else_is_noticed(tag, inside, tmp_path):
    assert problem_of(wheel(tmp_path, tag, *(ENGINE + each for each in inside)))


def test_an_engine_of_another_processor_is_noticed(tmp_path):
    arm = b"\x7fELF\x02\x01\x01".ljust(18, b"\0") + b"\xb7\0"  # the beginning of its header
    assert "engine of aarch64 inside" in problem_of(wheel(tmp_path, ABI3, f"{ENGINE}abi3.so", content=arm))
    assert problem_of(wheel(tmp_path, "cp310-abi3-linux_aarch64", f"{ENGINE}abi3.so", content=arm)) == ""


@pytest.mark.slow
def test_without_a_compiler_there_is_a_pure_wheel_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "CC", "no-such-compiler")
    with pytest.raises(SystemExit, match="could not be built"):
        build_wheel(tmp_path, pure=False)
    assert list(tmp_path.iterdir()) == []
    assert build_wheel(tmp_path, pure=True).name.endswith(f"-{PURE}.whl")
