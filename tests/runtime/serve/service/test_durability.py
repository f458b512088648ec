"""What docs/serve.md promises about kills, disks and stores."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models import DATA
from support.serving import (
    MODEL,
    ListOutput,
    ListSource,
    new_service,
    numbered,
    predicted,
    serve_records,
    serve_source,
    serve_texts,
    symbols_of,
)

from stepcell.runtime import OtherModelError, load
from stepcell.runtime.common.errors import OutputError
from stepcell.runtime.serve.adapters.base import STEPPED, Incoming
from stepcell.runtime.serve.service.store import ServiceStore


@pytest.fixture
def store(tmp_path):
    return tmp_path / "state.db"


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_a_kill_at_any_moment_the_answers_are_those_of_an_undisturbed_run(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("kill")
    streams = {name: numbered(data.draw(st.text("01234", max_size=12)), name) for name in "abc"}
    order = data.draw(st.permutations([name for name, records in streams.items() for _ in records]))
    waiting = {name: iter(records) for name, records in streams.items()}
    records = [next(waiting[name]) for name in order]
    expected = serve_texts(folder / "whole.db", records, MODEL)

    most = data.draw(st.integers(1, 5))
    with ServiceStore(folder / "killed.db", MODEL.file) as store:
        output, moments = ListOutput(delivers=False), []
        service = new_service(MODEL, store, [ListSource(records)], [output], commit_records=most)

        def copy(outcomes):
            moment = folder / f"{len(moments)}.db"
            for end in ("", "-wal"):
                if (folder / f"killed.db{end}").exists():
                    shutil.copy(folder / f"killed.db{end}", folder / f"{moment.name}{end}")
            moments.append((moment, list(output.texts)))

        service.subscribe(copy)
        service.run()
    if not moments:
        return
    moment, before = data.draw(st.sampled_from(moments))
    seen = data.draw(st.integers(0, len(before)))  # how much of it left the process
    after = ListOutput()
    serve_source(moment, ListSource(records), MODEL, after)  # its sender repeats all of it
    assert after.texts[: len(before)] == before  # they were not known to be delivered
    merged = list(dict.fromkeys([*before[:seen], *after.texts]))
    assert merged == expected


def test_answers_that_were_delivered_do_not_come_again(store):
    serve_texts(store, numbered("301"), MODEL)
    assert serve_texts(store, numbered("301"), MODEL) == []


def test_an_answer_is_delivered_and_acknowledged_after_it_is_kept(store):
    class Looking(ListOutput):
        def deliver(self, group, answers):
            assert service.store.find("press")[1]["serve"]["next_seq"] == 3
            super().deliver(group, answers)

    with ServiceStore(store, MODEL.file) as opened:
        source, output = ListSource(numbered("301")), Looking()
        service = new_service(MODEL, opened, [source], [output])
        service.run()
    assert len(source.outcomes) == len(output.texts) == 3


def test_a_group_ends_at_its_number_of_records(store):
    records = [Incoming(str(place % 5).encode()) for place in range(100)]

    class AtOnce(ListSource):
        def start(self, inbox, position):
            inbox.put(self, records)
            inbox.end(self)

    output = ListOutput()
    service = serve_source(store, AtOnce([]), MODEL, output, commit_records=32, commit_interval=60.0)
    assert service.status.groups - 1 in (4, 3)  # the last one keeps how far it was delivered
    assert len(output.texts) == 100


def test_positions_are_kept_with_the_states(store):
    source = ListSource([Incoming(b"3", position={"at": 10}), Incoming(b"0", position={"at": 20})])
    serve_source(store, source, MODEL)
    again = ListSource([])
    serve_source(store, again, MODEL)
    assert again.position == {"at": 20}


def test_a_store_that_cannot_be_written_is_tried_again_and_nothing_is_lost(store):
    with ServiceStore(store, MODEL.file) as opened:
        source, output = ListSource(numbered("3012")), ListOutput()
        service = new_service(MODEL, opened, [source], [output], commit_records=1)
        commit, failures = opened.commit, iter([False, True, True, False])

        def failing(group):
            if next(failures, False):
                assert not source.outcomes or len(source.outcomes) == len(output.texts)
                raise OutputError("Cannot use the store: disk full.")
            commit(group)

        opened.commit = failing
        service.run()
    assert [outcome.kind for outcome in source.outcomes] == [STEPPED] * 4
    assert symbols_of(map(json.loads, output.texts)) == predicted("3012")
    assert "Nothing is accepted or answered until that is possible" in service.told[0]
    assert "going on" in service.told[1]


def test_a_store_belongs_to_one_service_and_one_model(store):
    serve_records(store, ["3"], MODEL)
    with ServiceStore(store, MODEL.file), pytest.raises(OutputError, match="is in use"):
        serve_records(store, ["3"], MODEL)
    with pytest.raises(OtherModelError):
        serve_records(store, ["3"], load(DATA / "lstm.tflite", backend="numpy"))


def test_more_streams_than_memory_are_served(store):
    records = [{"stream": f"s{place % 50}", "seq": place // 50, "symbol": str(place // 50)} for place in range(200)]
    answers = serve_records(store, records, MODEL, max_streams=7)
    expected = predicted("0123")
    assert symbols_of(answers) == [expected[place // 50] for place in range(200)]


def test_a_second_output_begins_behind_what_was_answered_before(store):
    serve_texts(store, numbered("30"), MODEL)
    with ServiceStore(store, MODEL.file) as opened:
        first, second = ListOutput("out"), ListOutput("second")
        new_service(MODEL, opened, [ListSource(numbered("1", first=2))], [first, second]).run()
    assert first.texts == second.texts
    assert len(first.texts) == 1
