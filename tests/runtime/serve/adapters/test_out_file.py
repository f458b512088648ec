"""A file as an output: each answer once, whatever ends the service and whenever the file is rotated."""

from __future__ import annotations

import json
import os
import resource

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcell.runtime.common.errors import OptionError, OutputError
from stepcell.runtime.serve.adapters.base import Answered, Cursor
from stepcell.runtime.serve.adapters.out_file import FileOutput
from stepcell.runtime.serve.rotation import Rotation


class Service:
    """What a service does with an output: it keeps answers and cursor at once, then delivers; it may be killed."""

    def __init__(self, path, rotation=None):
        self.path, self.rotation = path, rotation
        self.kept, self.outbox, self.number, self.written = Cursor(0), {}, 0, []
        self.time, self.day, self.told = 0.0, "2026-11-30", []
        self.start()

    def start(self):
        rotation = None if self.rotation is None else self.rotation._replace(today=lambda: self.day)
        self.output = FileOutput(self.path, self.told.append, rotation, lambda: self.time)
        self.output.start(self.kept)
        for number, texts in self.outbox.items():
            if number > self.kept.group:
                self.output.deliver(number, [Answered("", text) for text in texts])

    def keep(self, texts):
        self.number += 1
        self.kept = Cursor(*json.loads(json.dumps(self.output.cursor())))
        self.outbox = {n: each for n, each in self.outbox.items() if n > self.kept.group} | {self.number: texts}
        self.written += texts

    def deliver(self):
        self.output.deliver(self.number, [Answered("", text) for text in self.outbox[self.number]])

    def group(self, *texts):
        self.keep(list(texts))
        self.deliver()

    def kill(self, is_power_lost=False, share=0.0):
        """End the process; of what is not durable a share stays on the disk where the power is lost."""
        size, durable = self.path.stat().st_size, (self.kept.position or {"position": 0})["position"]
        if is_power_lost and not self.kept_is_rotated():
            os.truncate(self.path, durable + int(share * max(0, size - durable)))
        self.start()

    def kept_is_rotated(self):
        name = (self.kept.position or {}).get("next_name")
        return name is not None and self.path.with_name(name).exists()

    def stop(self):
        self.output.close()
        self.kept = Cursor(*json.loads(json.dumps(self.output.cursor())))

    def files(self):
        """The files in the order in which they were written."""
        return [*sorted(self.path.parent.glob(f"{self.path.name}.*")), self.path]

    def content(self):
        return "".join(file.read_text() for file in self.files())

    def expected(self):
        return "".join(f"{text}\n" for text in self.written)


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path / "out.jsonl")


ACTIONS = st.one_of(
    st.tuples(st.just("group"), st.integers(0, 4)),
    st.tuples(st.just("killed before it is delivered"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["kill", "second", "day", "stop"])),
    st.tuples(st.just("power"), st.floats(0, 1)),
)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([None, Rotation(40), Rotation(1), Rotation(is_daily=True)]), st.lists(ACTIONS, max_size=20))
def test_each_answer_stands_in_the_files_once(tmp_path_factory, rotation, actions):
    service = Service(tmp_path_factory.mktemp("out") / "out.jsonl", rotation)
    seen: dict = {}
    for action, *amount in actions:
        texts = [f"answer {len(service.written) + index}" for index in range(int(*amount or [0]))]
        if action == "group":
            service.group(*texts)
        elif action.startswith("killed"):
            service.keep(texts)
            service.start()
        elif action == "second":
            service.time += 1.0
        elif action == "day":
            service.day = f"2026-12-{int(service.day[-2:]) % 28 + 1:02}"
        elif action == "stop":
            service.stop()
            service.start()
        else:
            service.kill(action == "power", *amount)
        rotated = {file.name: file.read_text() for file in service.files()[:-1]}
        assert seen.items() <= rotated.items()  # a rotated file stays as it is
        seen = rotated
    service.stop()
    if rotation is None or not rotation.is_daily:
        assert service.content() == service.expected()
    assert sorted(service.content().splitlines()) == sorted(service.expected().splitlines())


def test_answers_are_durable_about_every_second_and_at_the_end(service):
    service.group("a")
    service.group("b")
    assert service.kept.group == 0
    service.time += 1.0
    service.group("c")
    assert service.kept.group == 2
    service.stop()
    assert service.kept.group == 3
    assert (service.kept.position["position"], service.kept.position["line"]) == (6, 3)


def test_a_cursor_does_not_move_where_the_disk_fails_and_a_later_service_delivers_again(service, monkeypatch):
    def fail(descriptor):
        raise OSError(5, "Input/output error")

    service.group("a")
    service.time += 1.0
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match="Cannot write .*out.jsonl: Input/output error"):
            service.output.cursor()
    assert service.output.cursor().group == 0  # a second fsync would not tell
    with pytest.raises(OutputError, match="it failed before"):
        service.deliver()
    service.kill(is_power_lost=True)
    service.stop()
    assert service.content() == service.expected()


def test_a_file_is_rotated_once_it_has_the_size_and_keeps_its_name(tmp_path):
    service = Service(tmp_path / "out.jsonl", Rotation(10))
    for number in range(10):
        service.group(f"answer {number}")
    names = [file.name for file in service.files()]
    assert names == [*(f"out.jsonl.00000{number}" for number in range(1, 5)), "out.jsonl"]
    assert service.files()[0].read_text() == "answer 0\nanswer 1\n"
    assert service.content() == service.expected()


def test_a_file_is_rotated_by_the_day_and_named_after_it(tmp_path):
    service = Service(tmp_path / "out.jsonl", Rotation(is_daily=True))
    service.group("a")
    service.day = "2026-12-01"
    service.group("b")
    service.day = "2026-11-30"  # a clock that was wrong
    service.group("c")
    service.day = "2026-12-01"
    service.group("d")
    found = {file.name: file.read_text() for file in service.files()}
    assert found == {
        "out.jsonl.2026-11-30": "a\n",
        "out.jsonl.2026-12-01": "b\n",
        "out.jsonl.2026-11-30.1": "c\n",
        "out.jsonl": "d\n",
    }


def test_a_rotated_file_that_was_taken_away_is_not_missed(tmp_path):
    service = Service(tmp_path / "out.jsonl", Rotation(4))
    for text in ("one", "two", "three"):
        service.group(text)
    (tmp_path / "out.jsonl.000002").unlink()
    service.kill()
    service.stop()
    assert service.path.read_text() == "three\n"
    assert service.told == ["out.jsonl.000002 is not there any more."]


def test_a_file_of_another_origin_is_neither_cut_nor_appended_to(tmp_path):
    (tmp_path / "out").write_text("precious\n")
    with pytest.raises(OutputError, match="out has 9 bytes that this store knows nothing of. Move it away"):
        Service(tmp_path / "out")
    service = Service(tmp_path / "other")
    service.group("a")
    service.stop()
    (tmp_path / "other").write_text("precious\n")
    with pytest.raises(OutputError, match="other has another content than the answers that were written"):
        service.start()
    assert (tmp_path / "out").read_text() == (tmp_path / "other").read_text() == "precious\n"


def test_an_output_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(OutputError, match="is not a file"):
        Service(tmp_path)
    with pytest.raises(OutputError, match="Cannot write .*No such file or directory"):
        Service(tmp_path / "no" / "out")


def test_a_file_that_others_move_cut_or_remove_goes_on_and_that_is_said(service):
    service.group("a")
    os.truncate(service.path, 0)
    service.group("b")
    assert (service.path.read_text(), len(service.told)) == ("b\n", 1)
    service.path.rename(service.path.with_name("moved"))
    service.time += 1.0
    service.group("c")
    service.group("d")
    service.stop()
    assert service.path.read_text() == "c\nd\n"
    service.path.unlink()
    service.start()
    service.group("e")
    service.stop()
    os.truncate(service.path, 0)
    service.start()
    assert [text.split("out.jsonl ")[1] for text in service.told] == [
        "has been changed by another program: going on at its end.",
        "has been moved or removed: a new file begins.",
        "is not there any more: a new file begins.",
        "has 0 bytes, 2 were written: going on at its end.",
    ]


def test_on_a_full_disk_nothing_of_a_group_is_written(tmp_path):
    service = Service(tmp_path / "out")
    service.group("answer 0")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, before[1]))
    try:
        with pytest.raises(OutputError, match="Cannot write .*out: File too large"):
            service.group("answer 1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert service.path.read_text() == "answer 0\n"
    service.deliver()
    assert service.content() == service.expected()


@pytest.mark.parametrize("text", ["", "0MB", "100", "MB", "100mb", "daily", "-1KB"])
def test_a_rotation_that_is_none_is_refused(text):
    with pytest.raises(OptionError, match="expected a size in KB, MB or GB, such as 100MB, or the word day"):
        Rotation.parse(text)


def test_a_rotation_is_by_size_or_by_day():
    assert [Rotation.parse(text).size for text in ("1KB", "100MB", "2 GB")] == [1000, 10**8, 2 * 10**9]
    assert Rotation.parse("day").is_daily
