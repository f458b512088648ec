"""The command `stepcell card`."""

from __future__ import annotations

import sys

import pytest
from support.command_line import stepcell
from support.models import DATA

from stepcell.runtime import read_model_file
from stepcell.runtime.format.card import model_card

MEMORY = DATA / "memory.tflite"
PNG = b"\x89PNG"


def test_the_card_is_written_or_printed(tmp_path):
    out = tmp_path / "README.md"
    expected = model_card(read_model_file(MEMORY), MEMORY.stat().st_size, license="mit")
    assert stepcell("card", MEMORY, "--out", out, "--license", "mit").stdout == f"written: {out}\n"
    assert out.read_text(encoding="utf-8") == expected
    assert stepcell("card", MEMORY, "--license", "mit").stdout == expected


def test_a_card_is_written_anew_and_another_file_is_left_alone(tmp_path):
    out = tmp_path / "README.md"
    assert [stepcell("card", MEMORY, "--out", out).exit_code for _ in range(2)] == [0, 0]
    out.write_text("# My own page\n")
    result = stepcell("card", MEMORY, "--out", out)
    assert (result.exit_code, out.read_text()) == (1, "# My own page\n")
    assert "was not written by stepcell card. Give another --out" in result.stderr


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    result = stepcell("card", MEMORY, "--out", tmp_path / "nowhere" / "README.md")
    assert result.exit_code == 1
    assert result.stderr == f"There is no folder {tmp_path}/nowhere for the card. Make it first. Nothing was written.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_as_the_card_is_an_error(tmp_path):
    result = stepcell("card", MEMORY, "--out", tmp_path)
    assert result.exit_code == 1
    assert f"Cannot read {tmp_path}: Is a directory. Nothing was written." in result.stderr


def test_a_file_without_a_manifest_has_no_card(tmp_path):
    result = stepcell("card", DATA / "foreign" / "positional.tflite", "--out", tmp_path / "README.md")
    assert result.exit_code == 1
    assert "carries no stepcell manifest" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["memory.tflite", "wide.onnx", "sensor.tflite", "personal.tflite", "adopted.onnx"])
def test_the_state_over_time_is_drawn_beside_the_card(name, tmp_path):
    out = tmp_path / "README.md"
    result = stepcell("card", DATA / name, "--out", out, "--pictures")
    assert (result.exit_code, result.stdout) == (0, f"written: {out}, {tmp_path / 'state.png'}\n")
    assert "![State over time](state.png)" in out.read_text()
    assert (tmp_path / "state.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("memory.tflite", [], "--pictures is drawn beside the card: give --out FILE too."),
        ("latch.tflite", ["--out", "README.md"], "latch.tflite has no known answer to step for a picture"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_an_error(name, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = stepcell("card", DATA / name, "--pictures", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_there_are_cards_and_no_pictures(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "README.md"
    result = stepcell("card", MEMORY, "--out", out, "--pictures")
    assert result.exit_code == 1
    assert "--pictures needs matplotlib. Install it: pip install 'stepcell[plot]'" in result.stderr
    assert not out.exists()
    assert stepcell("card", MEMORY, "--out", out).exit_code == 0
