"""stepcell predict: whatever interrupts it, the next run goes on as if nothing had happened."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import DATA
from sealed import changed_memory
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import SavedStreams, TargetError, Vocabulary, calibrate, load, read_saved_streams
from stepcell.runtime.errors import InputError, OptionError, OutputError
from stepcell.runtime.feed.feed import Feed, Manner
from stepcell.runtime.feed.file_lines import FileLines
from stepcell.runtime.feed.interruption import InterruptedFeedError, Interruption
from stepcell.runtime.feed.line import LineBuffer
from stepcell.runtime.feed.predicting import Route, predict_lines
from stepcell.runtime.feed.state_file import StateFile

TFLITE, ONNX = str(DATA / "memory.tflite"), str(DATA / "memory.onnx")
SYMBOLS = "3012340124" * 12


def predict(*arguments, input="", model=TFLITE):
    return CliRunner().invoke(app, ["predict", model, *map(str, arguments)], input=input)


def on_lines(symbols):
    return "".join(f"{symbol}\n" for symbol in symbols)


@pytest.fixture(scope="module")
def memory():
    return load(TFLITE)


@pytest.fixture(scope="module")
def answers(memory):
    """What the model answers to SYMBOLS, one after the other."""
    stream = memory.stream()
    return [stream.step(symbol).symbol for symbol in SYMBOLS]


def where(path):
    saved = read_saved_streams(path)
    return {key: (one.symbols_seen, one.state["c0"].tolist()) for key, one in saved.streams.items()}


def whole_run(tmp_path, symbols=SYMBOLS):
    """The bytes of the state that one run over all symbols leaves."""
    path = tmp_path / "whole.state"
    assert predict("--state", path, input=on_lines(symbols)).exit_code == 0
    return path


# ----- lines


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=9), max_size=9), st.data())
def test_however_lines_come_in_pieces_they_are_the_same(lines, data):
    lines = [line.replace(b"\n", b"").rstrip(b"\r") for line in lines]
    content = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r\n"])) for line in lines)
    rest = data.draw(st.sampled_from([b"", b"x", b"xyz"]))
    buffer, found, position = LineBuffer(), [], 0
    content += rest
    while position < len(content):
        size = data.draw(st.integers(1, 7))
        buffer.add(content[position : position + size])
        position += size
        while line := buffer.next():
            found.append(line)
    assert [line.content for line in found] == lines
    assert [line.number for line in found] == list(range(1, len(lines) + 1))
    assert buffer.position == len(content) - len(rest)
    last = buffer.last()
    assert (last.content if last else b"") == rest
    if last:
        buffer.take_back()
        assert (buffer.position, buffer.number) == (len(content) - len(rest), len(lines))


class Followed:
    """A file that is followed, and what was told about it."""

    def __init__(self, path, **options):
        self.told = []
        self.lines = FileLines(path, Interruption(), self.told.append, follow=True, **options)

    def all(self, patience=0.0):
        """All lines that there are now."""
        found = []
        while line := self.lines.next(patience):
            found.append(line.content.decode())
        return found


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


def test_a_line_that_is_partly_written_waits_for_its_end(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\nb")
    followed = Followed(path)
    assert followed.all() == ["a"]
    append(path, "c")
    assert followed.all() == []
    append(path, "d\ne\n")
    assert followed.all() == ["bcd", "e"]
    assert followed.told == []


@pytest.mark.parametrize(
    ("content", "what"),
    [("x\n", "has been cut off (line 3 was the last): going on at its beginning."),
     ("x\ny\nz\nlonger than before\n", "has been written anew (line 3 was the last)")],
)  # fmt: skip
def test_a_file_that_is_cut_off_or_written_anew_is_noticed_and_read_from_its_beginning(tmp_path, content, what):
    path = tmp_path / "log"
    path.write_text("a\nb\nc\n")
    followed = Followed(path)
    assert followed.all() == ["a", "b", "c"]
    path.write_text(content)
    assert followed.all() == content.splitlines()
    assert len(followed.told) == 1
    assert what in followed.told[0]


def test_what_is_lost_of_an_unfinished_line_is_told(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\nbcd")
    followed = Followed(path)
    assert followed.all() == ["a"]
    path.write_text("")
    assert followed.all() == []
    assert "3 bytes of an unfinished line are lost" in followed.told[0]


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\n")
    followed = Followed(path)
    assert followed.all() == ["a"]
    path.rename(tmp_path / "log.1")
    assert followed.all(0.12) == []  # nobody has the name: wait
    append(tmp_path / "log.1", "late\nlast")
    path.write_text("new\n")
    assert followed.all(0.3) == ["late", "last", "new"]
    what = "has been replaced by another file (line 3 was the last): going on at its beginning."
    assert followed.told == [f"{path} {what}"]


def test_who_still_writes_to_the_old_file_is_heard(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\n")
    followed = Followed(path)
    assert followed.all() == ["a"]
    path.rename(tmp_path / "log.1")
    path.write_text("new\n")
    assert followed.all() == []  # noticed, and not yet believed
    append(tmp_path / "log.1", "late\n")
    assert followed.all(0.3) == ["late", "new"]


def test_where_the_new_file_cannot_be_read_the_place_in_the_old_one_is_still_known(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\n")
    followed = Followed(path)
    assert followed.all() == ["a"]
    path.rename(tmp_path / "log.1")
    path.mkdir()
    with pytest.raises(InputError, match="is not a file"):
        followed.all(0.3)
    assert (followed.lines.place().position, followed.lines.place().line) == (2, 1)
    followed.lines.close()


def test_a_followed_file_may_come_into_being_later(tmp_path):
    path = tmp_path / "log"
    timer = threading.Timer(0.12, path.write_text, ["a\n"])
    timer.start()
    followed = Followed(path)
    timer.join()
    assert followed.all() == ["a"]
    assert followed.told == [f"Waiting for {path}."]


@pytest.mark.parametrize(
    ("name", "message"), [("none", "There is no file"), ("", "is not a file"), ("secret", "Cannot")]
)
def test_an_input_that_cannot_be_read_is_refused(tmp_path, name, message, monkeypatch):
    if name == "secret":
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(InputError, match=message):
        FileLines(tmp_path / name, Interruption(), print)


# ----- going on


@pytest.mark.parametrize("cuts", [[1], [60], [119], [1, 2, 3], [40, 80]])
def test_runs_one_after_the_other_are_one_run(tmp_path, answers, cuts):
    path = tmp_path / "memory.state"
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(SYMBOLS)], strict=True):
        result = predict("--state", path, input=on_lines(SYMBOLS[start:end]))
        assert result.exit_code == 0
        assert f"memory.state: {start} symbols seen, {start} lines read\n" in result.stderr
        found += result.stdout.splitlines()
    assert found == answers
    assert path.read_bytes() == whole_run(tmp_path).read_bytes()


def test_the_place_in_the_input_is_saved_with_the_state(tmp_path, answers):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    found = []
    for end in (1, 50, 50, 120):
        log.write_text(on_lines(SYMBOLS[:end]))
        result = predict("--state", path, "--input", log)
        assert result.exit_code == 0
        found += result.stdout.splitlines()
    assert found == answers
    assert "written anew" not in result.stderr
    assert "beginning" not in result.stderr


def test_a_last_line_without_an_end_is_left_for_the_next_run_only_if_there_is_a_state(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0")
    assert predict("--input", log).stdout == "0\n1\n"
    result = predict("--state", path, "--input", log)
    assert result.stdout == "0\n"
    assert f"The last line of {log} has no line end yet. It is left for the next time.\n" in result.stderr
    append(log, "\n1\n2\n")
    assert predict("--state", path, "--input", log).stdout == "1\n2\n4\n"


def test_another_or_a_changed_input_is_read_from_its_beginning_and_that_is_said(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\n")
    predict("--state", path, "--input", log)
    for content in ("1\n", "3\n4\n1\n"):  # shorter; other symbols before the place
        log.write_text(content)
        result = predict("--state", path, "--input", log)
        assert len(result.stdout.splitlines()) == len(content) // 2
        assert f"{log} is not the file it was any more: going on at its beginning. What followed line" in result.stderr
    other = tmp_path / "other"
    other.write_text(log.read_text() + "2\n")
    result = predict("--state", path, "--input", other)
    assert f"{other} is another file than before ({log.resolve()}): going on at its beginning." in result.stderr
    stream = load(TFLITE).stream()
    stream.absorb("4013413412")
    assert where(path)[""][0] == 10
    assert where(path)[""][1] == stream.state["c0"].tolist()


def test_a_state_saved_from_python_goes_on_and_says_that_it_knows_no_place(tmp_path, memory):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    stream = memory.stream()
    stream.absorb("40")
    stream.save(path)
    log.write_text("1\n2\n")
    result = predict("--state", path, "--input", log)
    assert result.stdout == "2\n4\n"
    assert "memory.state: 2 symbols seen, 2 lines read" in result.stderr
    assert f"does not say how far {log} was read: reading it from its beginning." in result.stderr
    stream.restore(path)  # and back
    assert stream.symbols_seen == 4


def test_a_refused_line_is_not_read_and_what_came_before_is_saved(tmp_path):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\nx\n2\n")
    for _ in range(2):
        result = predict("--state", path, "--input", log)
        assert result.exit_code == 1
        assert "Line 3: Symbol 'x' is not in the vocabulary" in result.stderr
        assert where(path)[""][0] == 2
    assert result.stdout == ""
    log.write_text("4\n0\n1\n2\n")
    assert predict("--state", path, "--input", log).stdout == "2\n4\n"


def test_the_state_of_another_file_of_the_network_needs_other_model(tmp_path):
    path = tmp_path / "memory.state"
    predict("--state", path, input="4\n0\n")
    before = path.read_bytes()
    result = predict("--state", path, input="1\n", model=ONNX)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--other-model" in result.stderr
    assert path.read_bytes() == before
    result = predict("--state", path, "--other-model", input="1\n2\n", model=ONNX)
    assert result.stdout == "2\n4\n"
    assert read_saved_streams(path).fingerprint == load(ONNX).manifest.fingerprint


def test_a_damaged_state_is_refused_and_stays(tmp_path):
    path = tmp_path / "memory.state"
    predict("--state", path, input="4\n0\n")
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    result = predict("--state", path, input="1\n")
    assert result.exit_code == 1
    assert "damaged or cut short" in result.stderr
    assert path.read_bytes() == before


def test_a_state_file_belongs_to_one_process_at_a_time(tmp_path):
    path = tmp_path / "memory.state"
    with StateFile(path):
        result = predict("--state", path, input="1\n")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "is in use: another process saves its streams there" in result.stderr
    assert predict("--state", path, input="1\n").exit_code == 0


def test_a_state_that_cannot_be_saved_is_told_before_anything_is_answered(tmp_path):
    result = predict("--state", tmp_path / "none" / "memory.state", input="1\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Cannot write" in result.stderr


# ----- when it is saved


def feed(memory, tmp_path, lines, answer, manner=None, **route):
    """Feed from memory, as the command does; return what was told."""
    told = []
    route = Route(state=tmp_path / "memory.state", **route)
    predict_lines(memory, manner or Manner(), route, io.BytesIO(lines.encode()), answer, told.append)
    return told


def test_it_is_saved_every_so_many_lines(memory, tmp_path):
    path, seen = tmp_path / "memory.state", []
    feed(
        memory,
        tmp_path,
        on_lines(SYMBOLS[:10]),
        lambda _: seen.append(where(path)[""][0]),
        save_every=3,
        save_seconds=9,
    )
    assert seen == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]
    assert where(path)[""][0] == 10


def test_it_is_saved_after_a_while_also_if_lines_never_cease(memory, tmp_path):
    path, seen = tmp_path / "memory.state", []
    feed(memory, tmp_path, on_lines("3012"), lambda _: seen.append(where(path)[""][0]), save_seconds=0.0)
    assert seen == [0, 1, 2, 3]


NOWHERE = {"path": "x", "position": -1, "line": 0, "before": ""}


@pytest.mark.parametrize("note", [None, 5, {"input": 3}, {"input": NOWHERE, "lines": -1, "symbols": "x"}])
def test_a_note_may_be_anything_at_all(tmp_path, memory, note):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    stream = memory.stream()
    stream.absorb("40")
    SavedStreams.of(memory.manifest, {"": stream.snapshot()}, {"predict": note}).to_file(path)
    log.write_text("1\n")
    result = predict("--state", path, "--input", log)
    assert result.stdout == "2\n"
    assert "2 symbols seen, 2 lines read" in result.stderr
    assert "does not say how far" in result.stderr


def test_it_is_saved_after_a_while_even_if_nothing_comes(memory, tmp_path):
    path = tmp_path / "memory.state"
    reader, writer = os.pipe()
    answered = threading.Event()
    with open(reader, "rb", buffering=0) as stdin, open(writer, "wb", buffering=0) as pipe:
        thread = threading.Thread(
            target=predict_lines,
            args=(memory, Manner(), Route(state=path, save_every=1000, save_seconds=0.1), stdin),
            kwargs={"answer": lambda _: answered.set(), "tell": lambda _: None},
        )
        thread.start()
        pipe.write(b"4\n0")
        assert answered.wait(5)
        assert where(path)[""][0] == 0
        deadline = time.monotonic() + 5
        while where(path)[""][0] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert where(path)[""][0] == 1
        pipe.close()
        thread.join(5)
    assert where(path)[""][0] == 2  # the last line of a pipe needs no end


def test_a_save_that_fails_ends_it_and_leaves_the_save_before(memory, tmp_path, monkeypatch):
    path, real, calls = tmp_path / "memory.state", os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:  # the first save syncs file and folder, and so does the second
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        feed(memory, tmp_path, on_lines(SYMBOLS), lambda _: None, save_every=5)
    assert where(path)[""][0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_line_is_answered_waits_for_the_answer_and_saves(memory, tmp_path, number):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    found = []

    def answer(text):
        found.append(text)
        if len(found) == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(InterruptedFeedError) as caught:
        feed(memory, tmp_path, on_lines(SYMBOLS), answer)
    assert caught.value.signal == number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert len(found) == 3
    assert where(tmp_path / "memory.state")[""][0] == 3


def test_signals_that_whoever_started_it_ignores_stay_ignored(memory, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        feed(memory, tmp_path, on_lines(SYMBOLS[:5]), lambda _: os.kill(os.getpid(), signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert where(tmp_path / "memory.state")[""][0] == 5


def test_a_second_signal_ends_it_at_once_without_saving(memory, tmp_path):
    def answer(text):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        feed(memory, tmp_path, on_lines(SYMBOLS), answer)
    assert where(tmp_path / "memory.state")[""][0] == 0


# ----- as processes


def start(*arguments, **options):
    command = [str(Path(sys.executable).with_name("stepcell")), "predict", TFLITE, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


@pytest.mark.parametrize(
    ("number", "code", "follow"), [(signal.SIGINT, 130, False), (signal.SIGTERM, -signal.SIGTERM, True)]
)
def test_a_signal_while_it_waits_saves_everything_that_was_answered(tmp_path, number, code, follow):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\n1")
    options = ["--input", log, "--follow"] if follow else []
    with start("--state", path, "--save-seconds", 60, *options, stdin=subprocess.PIPE) as process:
        if not follow:
            process.stdin.write("4\n0\n1")
            process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        process.send_signal(number)
        process.wait(20)
        stdout, stderr = process.stdout.read(), process.stderr.read()
    assert (process.returncode, stdout) == (code, "")
    assert stderr.splitlines()[-1].endswith("memory.state: 2 symbols seen, 2 lines read; saved")
    assert where(path)[""][0] == 2


def test_kill_9_at_any_time_loses_no_save_and_the_next_run_goes_on_from_it(tmp_path, answers):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text(on_lines(SYMBOLS[:60]))
    options = ("--state", path, "--input", log, "--save-every", 7, "--save-seconds", 60)
    with start(*options, "--follow") as process:
        assert [process.stdout.readline() for _ in range(60)] == [f"{answer}\n" for answer in answers[:60]]
        process.kill()
        process.wait(20)
    assert where(path)[""][0] == 56  # all but the last 4
    append(log, on_lines(SYMBOLS[60:]))
    result = predict(*options)
    assert "56 symbols seen" in result.stderr
    assert result.stdout.splitlines() == answers[56:]
    assert where(path) == where(whole_run(tmp_path))


def test_kill_9_in_the_middle_of_a_save_leaves_the_save_before(tmp_path, answers):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text(on_lines(SYMBOLS))
    code = (
        "import os, sys; real, calls = os.replace, []\n"
        "def replace(*names):\n"
        "    calls.append(names)\n"
        "    if len(calls) == 5: os.kill(os.getpid(), 9)\n"
        "    real(*names)\n"
        "os.replace = replace\n"
        "from stepcell.cli import app; app(sys.argv[1:])"
    )
    options = ["--state", str(path), "--input", str(log), "--save-every", "10", "--save-seconds", "60"]
    command = [sys.executable, "-c", code, "predict", TFLITE, *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == -9
    assert where(path)[""][0] == 30  # the first save was of nothing
    assert len(list(tmp_path.glob(".memory.state.*.part"))) == 1
    others = tmp_path / ".memory.state.old.7.part"  # of the file memory.state.old
    others.touch()
    assert predict(*options).stdout.splitlines() == answers[30:]
    assert list(tmp_path.glob(".memory.state.*.part")) == [others]
    assert where(path) == where(whole_run(tmp_path))


# ----- many streams


def records(*pairs, **more):
    return "".join(json.dumps({"machine": key, "event": symbol, **more}) + "\n" for key, symbol in pairs)


KEYED = ("--stream", "machine", "--symbol", "event")
INTERLEAVED = [
    (key, symbol) for left, right in zip("3012", "4012", strict=True) for key, symbol in (("a", left), (7, right))
]


def test_each_key_has_a_state_of_its_own():
    result = predict(*KEYED, input=records(*INTERLEAVED, time="12:00"))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["a\t0", "7\t0", "a\t1", "7\t1", "a\t2", "7\t2", "a\t3", "7\t4"]
    answer = json.loads(predict(*KEYED, "--json", input=records(*INTERLEAVED)).stdout.splitlines()[-1])
    assert (answer["stream"], answer["seen"], answer["input"], answer["symbol"]) == ("7", 4, "2", "4")


def test_streams_are_saved_together_and_go_on_together(tmp_path):
    path = tmp_path / "all.state"
    for part, expected in ((INTERLEAVED[:5], "a\t2"), (INTERLEAVED[5:], "7\t4")):
        result = predict(*KEYED, "--state", path, input=records(*part))
        assert result.stdout.splitlines()[-1] == expected
    assert "all.state: 5 symbols seen, 5 lines read, 2 streams\n" in result.stderr
    assert {key: seen for key, (seen, _) in where(path).items()} == {"a": 4, "7": 4}


def test_of_too_many_streams_the_one_not_seen_for_longest_is_forgotten_and_that_is_said(tmp_path):
    path = tmp_path / "all.state"
    lines = records(("a", "3"), ("b", "4"), ("a", "0"), ("c", "3"), ("b", "0"))
    result = predict(*KEYED, "--streams", "2", "--json", "--state", path, input=lines)
    seen = [(answer["stream"], answer["seen"]) for answer in map(json.loads, result.stdout.splitlines())]
    assert seen == [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("b", 1)]
    assert "There are more than 2 streams: 'b', not seen for the longest time, is forgotten" in result.stderr
    result = predict(*KEYED, "--streams", "1", "--state", path, input="")
    assert "5 symbols seen, 5 lines read, 1 streams, 3 forgotten" in result.stderr
    assert list(where(path)) == ["c", "b"]  # nothing was read, so nothing was saved
    predict(*KEYED, "--streams", "2", "--state", path, input=records(("d", "3")))
    assert list(where(path)) == ["b", "d"]


def test_a_line_that_is_refused_makes_no_stream_and_forgets_none(tmp_path):
    path = tmp_path / "all.state"
    lines = records(("a", "3"), ("b", "x"))
    assert predict(*KEYED, "--streams", "1", "--state", path, input=lines).exit_code == 1
    assert list(where(path)) == ["a"]
    predict(*KEYED, "--streams", "1", "--state", path, "--unknown", "skip", input=records(("b", "x")))
    assert list(where(path)) == ["a"]


def test_a_state_of_other_streams_is_refused(tmp_path):
    alone, keyed = tmp_path / "alone.state", tmp_path / "keyed.state"
    predict("--state", alone, input="3\n")
    predict(*KEYED, "--state", keyed, input="")
    predict(*KEYED, "--state", keyed, input=records(("a", "3")))
    before = keyed.read_bytes()
    for path, options, message in (
        (alone, KEYED, "alone.state holds one stream by itself: leave out --stream"),
        (keyed, (), "keyed.state holds 1 streams by key: say --stream machine"),
        (keyed, ("--stream", "other"), "keyed.state holds a stream for each 'machine', not for each 'other'"),
    ):
        result = predict(*options, "--state", path, input="")
        assert result.exit_code == 1
        assert message in result.stderr
    assert keyed.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3", 'Line 1: \'3\' is not a JSON object; wanted is {"machine": ..., "event": ...}.'),
        ("{", "Line 1: '{' is not JSON"),
        ('{"event": "3"}', "has no 'machine'"),
        ('{"machine": [1], "event": "3"}', "has a list as 'machine'"),
        ('{"machine": "a"}', "has no symbol"),
        ('{"machine": "a", "event": {}}', "has an object as its symbol"),
    ],
)
def test_a_record_without_what_is_needed_is_refused_with_what_is_wanted(line, message):
    result = predict(*KEYED, input=line + "\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_a_key_with_a_tab_or_newline_stays_on_its_line():
    assert predict(*KEYED, input=records(("a\tb\nc", 3))).stdout == '"a\\tb\\nc"\t0\n'


# ----- unknown and surprising symbols


def test_skipped_symbols_leave_the_state_are_counted_and_still_get_a_line(tmp_path):
    path = tmp_path / "memory.state"
    result = predict("--unknown", "skip", "--state", path, input="4\nx\n0\ny\n1\n2\n")
    assert result.exit_code == 0
    assert result.stdout == "0\n\n1\n\n2\n4\n"
    assert result.stderr.count("is skipped") == 1
    assert "Line 2 is skipped (1 so far): Symbol 'x' is not in the vocabulary" in result.stderr
    result = predict("--unknown", "skip", "--state", path, "--json", input="z\n")
    assert json.loads(result.stdout) == {"input": "z", "unknown": True}
    assert "4 symbols seen, 6 lines read, 2 of them unknown" in result.stderr


def test_surprising_symbols_are_marked(memory, tmp_path):
    threshold = tmp_path / "threshold.json"
    calibrate(memory, ["30123", "40124"] * 60).save(threshold)
    result = predict("--threshold", threshold, input="4\n0\n1\n2\n3\n")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [answer for answer, _ in lines] == [*"0124", lines[-1][0]]
    assert lines[0][1] == "-"
    assert float(lines[1][1]) < 0.1
    assert lines[-1][1].endswith(" alarm")
    last = json.loads(predict("--threshold", threshold, "--json", input="4\n0\n1\n2\n3\n").stdout.splitlines()[-1])
    assert last["bits"] > 5
    assert (last["surprising"], last["alarm"]) == (True, True)
    assert last["rank"] > 1
    first = json.loads(predict("--threshold", threshold, "--json", input="4\n").stdout)
    assert (first["bits"], first["rank"], first["surprising"]) == (None, None, False)


def test_a_model_whose_symbols_have_no_probability_is_refused_before_anything_is_read(memory, tmp_path):
    threshold = calibrate(memory, ["30123", "40124"] * 60)
    path = changed_memory(tmp_path / "labels.tflite", labels=Vocabulary(tuple("abcde")))
    with pytest.raises(TargetError, match="answers with labels"):
        Feed(load(path), Manner(threshold=threshold), 1, print)


# ----- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--follow", "--save-every", "5", "--other-model"],
         "--follow needs --input; --save-every needs --state; --other-model needs --state"),
        (["--save-seconds", "0"], "--save-seconds needs --state"),
        (["--streams", "5"], "it needs --stream"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_named_all_at_once(options, message):
    result = predict(*options, input="3\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_without_stdin_there_is_nothing_to_read(memory):
    with pytest.raises(OptionError, match="There is no stdin"):
        predict_lines(memory, Manner(), Route(), None, print, print)
