"""Commands show tables and progress on a terminal, and plain text elsewhere."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import types
import unicodedata

import pytest
from hypothesis import given
from hypothesis.strategies import characters, text

from stepcell.runtime.common.lazy import lazy_names
from stepcell.runtime.common.plotting import new_figure, to_png
from stepcell.runtime.common.printable import printable, printable_json
from stepcell.runtime.common.terminal import (
    format_table,
    ignore_sigint,
    import_silently,
    print_table,
    print_text,
    silence_stderr,
    status,
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_table_has_columns_of_one_width():
    assert format_table(["name", "n"], [["a", "10"], ["longer", "9"]]) == ["name    n", "a       10", "longer  9"]
    assert format_table(["name"], []) == ["name"]


def test_a_table_is_plain_where_there_is_no_terminal(capsys):
    print_table(["name", "n"], [["a", "10"]], "A note.")
    assert capsys.readouterr().out == "name  n\na     10\nA note.\n"


def test_a_table_is_framed_on_a_terminal_and_shows_everything(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    print_table(["name", "n"], [["a" * 50, "10"]], "A note.")
    text = sys.stdout.getvalue()
    assert "─" in text
    assert text.count("a") == 50 + "name".count("a")
    assert "A note." in text


@pytest.mark.parametrize("symbol", ["[unk]", "[/b]", "[/INST]", "[bold]x", ":smile:", "a\\[b]", "\x1b[2J", "\x9b2J"])
def test_a_symbol_is_text_in_a_table_and_in_the_status_on_a_terminal(monkeypatch, symbol):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    print_table([symbol], [[symbol]], f"A note on {symbol}.")
    with status() as show:
        show(f"reading {symbol}")
    shown = printable(symbol)
    assert sys.stdout.getvalue().count(shown) == 3
    assert shown in sys.stderr.getvalue()
    assert "\x9b" not in sys.stdout.getvalue() + sys.stderr.getvalue()


def test_without_rich_a_terminal_gets_plain_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    print_table(["name"], [["a"]])
    with status() as show:
        show("exporting")
    assert sys.stdout.getvalue() == "name\na\n"
    assert sys.stderr.getvalue() == ""


def test_without_stdout_and_stderr_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    print_table(["name"], [["a"]])
    with status() as show:
        show("exporting")


def test_the_status_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    with status() as show:
        show("exporting")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with status() as show:
        show("exporting")
    assert "exporting" in sys.stderr.getvalue()


def test_control_characters_of_a_file_are_printed_as_escapes(capsys):
    print_text("a\x1b[2J\x9b\u202eb\nc\td\r", err=True)
    assert capsys.readouterr().err == "a\\x1b[2J\\x9b\\u202eb\nc\td\\r\n"
    assert format_table(["a\x07"], [["b\nc\x85"]]) == ["a\\x07", "b\\nc\\x85"]


@given(text())
def test_printable_text_has_no_control_characters(symbol):
    shown = printable(symbol, one_line=True)
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    assert printable(shown, one_line=True) == shown


@given(text(characters()))
def test_printable_json_is_the_same_value(symbol):
    shown = printable_json({"symbol": symbol})
    assert json.loads(shown) == {"symbol": symbol}
    assert not any(unicodedata.category(each) in ("Cc", "Cs") for each in shown)


def test_nothing_comes_through_while_stderr_is_silenced(capfd):
    os.write(2, b"before ")
    with silence_stderr():
        os.write(2, b"during ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_an_error_passes_while_stderr_is_silenced(capfd):
    with pytest.raises(ValueError, match="wrong"), silence_stderr():
        raise ValueError("wrong")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_a_package_is_imported_without_its_remarks(tmp_path, monkeypatch, capfd):
    (tmp_path / "noisy_package.py").write_text("import os; os.write(2, b'I have found a graphics card')")
    monkeypatch.syspath_prepend(tmp_path)
    import_silently("noisy_package")
    assert "noisy_package" in sys.modules
    assert capfd.readouterr().err == ""


def test_ctrl_c_is_ignored_until_the_block_ends():
    with ignore_sigint():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_another_thread_leaves_ctrl_c_alone():
    found = []

    def work():
        with ignore_sigint():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]


def test_a_lazy_name_is_imported_once_when_it_is_first_asked_for(monkeypatch):
    package = types.ModuleType("lazy_package")
    monkeypatch.setitem(sys.modules, "lazy_package", package)
    get = lazy_names("lazy_package", {"json": ["dumps"]})
    assert get("dumps") is __import__("json").dumps is vars(package)["dumps"]
    with pytest.raises(AttributeError, match="module 'lazy_package' has no attribute 'loads'"):
        get("loads")


def test_a_picture_has_equal_bytes_each_time():
    pictures = []
    for _ in range(2):
        figure = new_figure(2, 1)
        figure.subplots().set_title("a symbol without a glyph: \U0001f9ff")
        pictures.append(to_png(figure))
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_picture(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert new_figure(2, 1) is None
