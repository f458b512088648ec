"""Files in and out of a real service: each record once and each answer once, wherever it is killed."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA
from support.served import Served
from support.serving import new_service

from stepcell.runtime import load, read_model_file
from stepcell.runtime.common.errors import OptionError, OutputError
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.serve.adapters.files import FileSource
from stepcell.runtime.serve.adapters.out_file import FileOutput
from stepcell.runtime.serve.lines import LONGEST
from stepcell.runtime.serve.rotation import Rotation
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.store import ServiceStore

MODEL = load(DATA / "memory.tflite", backend="numpy")
SYMBOLS = "30123401243012340124"


class Killed(BaseException):
    """The process ends here."""


class Moments:
    """Counts the moments at which a process may be killed, and kills it at one of them."""

    def __init__(self, last=None):
        self.last, self.passed = last, 0

    def pass_by(self):
        if self.passed == self.last:
            raise Killed
        self.passed += 1


class KilledStore(ServiceStore):
    moments = Moments()

    def commit(self, group):
        self.moments.pass_by()
        super().commit(group)
        self.moments.pass_by()


class KilledOutput(FileOutput):
    moments = Moments()

    def deliver(self, group, answers):
        super().deliver(group, answers)
        self.moments.pass_by()

    def close(self):
        self.moments.pass_by()
        super().close()


def write(path, records):
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))
    return path


def serve_files(folder, *files, model=MODEL, moments=None, rotation=None, **options):
    """Serve files to their ends, or until the process is killed; return whether it was not."""
    moments = moments or Moments()
    with KilledStore(folder / "state.db", model.file) as store:
        output = KilledOutput(folder / "out", print, rotation)
        store.moments = output.moments = moments
        sources = [FileSource(path, print) for path in files]
        service = new_service(model, store, sources, [output], **options)
        with suppress(Killed):
            service.run()
            return True
    return False


def written(folder):
    return "".join(each.read_text() for each in [*sorted(folder.glob("out.*")), folder / "out"] if each.exists())


def answers(folder):
    return [json.loads(line) for line in written(folder).splitlines()]


RECORDS = [
    *({"stream": "ab"[index % 3 % 2], "symbol": symbol, "id": index} for index, symbol in enumerate(SYMBOLS)),
    *({"stream": "c", "seq": index, "symbol": symbol} for index, symbol in enumerate(SYMBOLS[:6])),
    "no record", "", {"stream": "c", "seq": 9, "symbol": "3"}, {"stream": "c", "seq": 6, "symbol": "3", "end": True},
]  # fmt: skip


@pytest.mark.parametrize("rotation", [None, Rotation(500)])
def test_a_service_that_is_killed_at_any_moment_leaves_out_no_answer_and_repeats_none(tmp_path, rotation):
    log, moments = write(tmp_path / "in", RECORDS), Moments()
    (tmp_path / "quiet").mkdir()
    assert serve_files(tmp_path / "quiet", log, moments=moments, rotation=rotation, commit_records=9)
    expected = written(tmp_path / "quiet")
    assert expected.count("\n") == len(RECORDS) - 1
    assert moments.passed > 12
    for last in range(moments.passed):
        folder = tmp_path / str(last)
        folder.mkdir()
        serve_files(folder, log, moments=Moments(last), rotation=rotation, commit_records=9)
        assert serve_files(folder, log, rotation=rotation, commit_records=9)
        assert (last, written(folder)) == (last, expected)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), st.sampled_from([3, 32])), min_size=1, max_size=4))
def test_kills_in_a_row_change_no_byte(tmp_path_factory, kills):
    folder = tmp_path_factory.mktemp("files")
    log = write(folder / "in", RECORDS)
    for last, commit_records in kills:
        serve_files(folder, log, moments=Moments(last), rotation=Rotation(700), commit_records=commit_records)
    serve_files(folder, log, rotation=Rotation(700))
    quiet = folder / "quiet"
    quiet.mkdir()
    serve_files(quiet, log)
    assert written(folder) == written(quiet)


def test_a_file_that_has_been_read_is_not_read_again(tmp_path):
    log = write(tmp_path / "in", SYMBOLS[:5])
    serve_files(tmp_path, log)
    serve_files(tmp_path, log)
    assert len(answers(tmp_path)) == 5
    write(tmp_path / "in", SYMBOLS[:8])
    serve_files(tmp_path, log)
    stream = MODEL.stream()
    assert [one["symbol"] for one in answers(tmp_path)] == [stream.step(symbol).symbol for symbol in SYMBOLS[:8]]


def test_several_files_are_read_at_once_each_from_its_own_position(tmp_path):
    first = write(tmp_path / "in1", [{"stream": "a", "symbol": symbol} for symbol in SYMBOLS])
    second = write(tmp_path / "in2", [{"stream": "b", "symbol": symbol} for symbol in SYMBOLS])
    serve_files(tmp_path, first)
    serve_files(tmp_path, first, second)
    found = answers(tmp_path)
    assert [one["stream"] for one in found] == ["a"] * 20 + ["b"] * 20
    assert [one["symbol"] for one in found[:20]] == [one["symbol"] for one in found[20:]]


def test_what_cannot_be_read_is_an_error_and_disturbs_no_neighbour(tmp_path):
    log = tmp_path / "in"
    noise = [
        b"\xff\xfe\x00\x01",
        b"x" * (LONGEST + 5),
        b"{",
        b'{"stream": "a"}',
        b'{"seq": "x", "symbol": "3"}',
        b"\x00",
    ]
    log.write_bytes(
        b"".join(symbol.encode() + b"\n" + line + b"\n" for symbol, line in zip(SYMBOLS, noise, strict=False))
    )
    serve_files(tmp_path, log)
    found = answers(tmp_path)
    assert [one.get("code") for one in found[1::2]] == [
        "bad-record", "too-long", "bad-record", "bad-record", "bad-record", "unknown-symbol",
    ]  # fmt: skip
    assert all(f"line {2 * index}: " in one["error"] for index, one in enumerate(found[1::2], 1))
    stream = MODEL.stream()
    assert [one["symbol"] for one in found[::2]] == [stream.step(symbol).symbol for symbol in SYMBOLS[:6]]


def test_a_file_cannot_wait_so_that_a_gap_is_an_error_and_the_next_line_is_read(tmp_path):
    records = [{"stream": "a", "seq": seq, "symbol": "3"} for seq in (1, 3, 2)]
    serve_files(tmp_path, write(tmp_path / "in", records))
    found = answers(tmp_path)
    assert [(one.get("code"), one.get("expected"), one["seq"]) for one in found] == [
        (None, None, 1), ("gap", 2, 3), (None, None, 2),
    ]  # fmt: skip


def test_wrong_options_of_files_are_named_together(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(OptionError) as caught:
        ServeOptions(tmp_path / "s.db", follow=True, out_rotate="x")
    assert str(caught.value) == (
        "These options do not go together: --follow needs --file; --out-rotate x: expected a size in KB, MB or GB, "
        "such as 100MB, or the word day; --out-rotate needs --out."
    )
    for same in (log, tmp_path / "s.db"):
        with pytest.raises(OptionError, match="is the store, or read by --file: answers go to a file of their own"):
            ServeOptions(tmp_path / "s.db", file=(log,), out=same)


def test_a_table_goes_on_behind_its_header(tmp_path):
    file = read_model_file(DATA / "memory.tflite")
    reading = {"kind": "events", "symbol": "event", "format": "csv"}
    manifest = replace(file.manifest, training={"data": {"reading": reading}})
    (tmp_path / "model.tflite").write_bytes(pack(file.payload, manifest, file.format))
    model = load(tmp_path / "model.tflite", backend="numpy")
    rows = [f"{index},{symbol}" for index, symbol in enumerate(SYMBOLS)]
    log = write(tmp_path / "in", ["id,event", *rows[:9]])
    serve_files(tmp_path, log, model=model, format="csv")
    write(log, ["id,event", *rows])
    serve_files(tmp_path, log, model=model, format="csv")
    stream = MODEL.stream()
    assert [(one["id"], one["symbol"]) for one in answers(tmp_path)] == [
        (str(index), stream.step(symbol).symbol) for index, symbol in enumerate(SYMBOLS)
    ]


def test_a_full_disk_is_waited_for_and_nothing_is_lost(tmp_path, monkeypatch):
    tries, deliver = [], FileOutput.deliver

    def fail(output, group, answers):
        tries.append(group)
        if len(tries) in (2, 3, 4):
            raise OutputError(f"Cannot write {tmp_path / 'out'}: No space left on device.")
        deliver(output, group, answers)

    monkeypatch.setattr(FileOutput, "deliver", fail)
    log = write(tmp_path / "in", SYMBOLS)
    with Served(tmp_path / "state.db", MODEL, file=(log,), out=tmp_path / "out", commit_records=5) as served:
        served.join()
    assert len(tries) == len(set(tries)) + 3
    assert len(answers(tmp_path)) == len(SYMBOLS)
    assert [text for text in served.told if "possible" in text] == [
        f"Cannot write {tmp_path / 'out'}: No space left on device. Nothing is accepted or answered until that is "
        "possible.",
        "Writing is possible again: going on. Nothing is lost.",
    ]


def test_the_store_forgets_answers_that_are_in_the_file_while_nothing_comes(tmp_path):
    log = write(tmp_path / "in", SYMBOLS)
    with Served(tmp_path / "state.db", MODEL, file=(log,), follow=True, out=tmp_path / "out") as served:
        until = time.monotonic() + 10
        kept = [None]
        while kept and time.monotonic() < until:
            time.sleep(0.1)
            kept = served.service.inbox.call(lambda service: service.store.undelivered(0)).result(10)
            kept = kept if written(tmp_path) else [None]
        assert kept == []
