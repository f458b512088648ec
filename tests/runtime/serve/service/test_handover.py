"""A new model takes over: caught up, side by side, at once; never mixed, whatever is killed when."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from threading import Thread
from time import monotonic, sleep

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.models import DATA, answering, changed_memory
from support.replaced import (
    BY_FINGERPRINT,
    MODELS,
    NAMES,
    SYMBOLS,
    check_answers,
    check_store,
    records_of,
    right_answers,
    serve,
)
from support.serving import CallingSource, ListOutput, ListSource, content_of, new_service

from stepcell.runtime import OtherModelError, OutputError, load
from stepcell.runtime.serve.adapters.base import Incoming
from stepcell.runtime.serve.service import coming, handover
from stepcell.runtime.serve.service.engine import Engine
from stepcell.runtime.serve.service.handover import Handover, take_over_at_start
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.recent import Recent
from stepcell.runtime.serve.service.reload import Reloader
from stepcell.runtime.serve.service.store import ServiceStore

# Models of the same symbols whose states have other names and shapes.


class TwoParts(ListSource):
    """Puts the first records, replaces the model file, and puts the others once `is_ready` says so."""

    def __init__(self, first, others, replace, is_ready):
        super().__init__(first)
        self._others, self._replace, self._is_ready = others, replace, is_ready

    def start(self, inbox, position):
        self.inbox = inbox
        inbox.put(self, self._records)
        Thread(target=self._go_on, daemon=True).start()

    def _go_on(self):
        wait_for(lambda: len(self.outcomes) == len(self._records))
        self._replace()
        wait_for(self._is_ready)
        for record in self._others:
            self.inbox.put(self, [Incoming(content_of(record))])
        self.inbox.end(self)


def wait_for(is_true):
    until = monotonic() + 30
    while not is_true() and monotonic() < until:
        sleep(0.005)


@pytest.fixture
def folder(tmp_path):
    shutil.copy(DATA / "lstm.tflite", tmp_path / "model.tflite")
    return tmp_path


def serve_and_replace(folder, first, others, new, is_ready, backend="numpy", **options):
    """Serve with model.tflite, which is replaced behind the first records; return the service and its output."""
    path, output = folder / "model.tflite", ListOutput()
    model = load(path, backend=backend)
    with ServiceStore(folder / "state.db", model.file) as store:

        def replace():
            (folder / "model.tflite").write_bytes(new if isinstance(new, bytes) else new.read_bytes())
            reloader.ask()

        source = TwoParts(first, others, replace, lambda: is_ready(service))
        service = new_service(model, store, [source], [output], **options)
        reloader = Reloader(
            service, path, lambda: load(path, backend=backend),
            lambda new: Engine(new, store, service.options, None, service.tell),
        )  # fmt: skip
        service.run()
    return service, output


def has_ended(service):
    return bool(service.status.reloads)


def has_begun(service):
    return service.handover is not None and service.handover.status()["stage"] == "side by side"


TEXT = "0123456" * 30 + "..3162..5" + "0214365" * 20


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Catch up all streams at once, however busy the machine is."""
    monkeypatch.setattr(handover, "SLICE", 60.0)


def test_a_new_model_goes_on_as_if_it_had_always_been_there(folder):
    records = records_of(TEXT)
    _, output = serve_and_replace(folder, records[:250], records[250:], DATA / "gru.tflite", has_ended, shadow=0)
    old, new = (MODELS[name].manifest.fingerprint for name in ("lstm", "gru"))
    named = check_answers(output.texts, records)
    assert named == [old] * named.count(old) + [new] * named.count(new)
    assert len(named) == sum("symbol" in record for record in records)
    assert named.count(new) == sum("symbol" in record for record in records[250:])
    assert check_store(folder / "state.db") == new
    (event,) = (json.loads(text) for text in output.texts if "event" in json.loads(text))
    assert event == {
        "event": "model", "model": new, "before": old, "streams": 2, "exact": 2, "short": 0, "compared": 0,
    }  # fmt: skip


def test_both_models_run_side_by_side_before_one_takes_over(folder):
    records = records_of(TEXT)
    service, output = serve_and_replace(
        folder, records[:100], records[100:], DATA / "three_lstm.tflite", has_begun, shadow=40
    )
    named = check_answers(output.texts, records)
    assert named.count(MODELS["lstm"].manifest.fingerprint) == 140
    event = next(json.loads(text) for text in output.texts if "event" in json.loads(text))
    right = [right_answers(records[:140], MODELS[name]) for name in ("lstm", "three_lstm")]
    compared = list(right[0])[100:]
    different = sum(right[0][key][0] != right[1][key][0] for key in compared) / 40
    assert (event["compared"], event["different"]) == (40, round(different, 6))
    assert min(event["difference"], event["divergence"]) > 0
    assert service.status.handover["stage"] == "taken over"


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (DATA / "memory.tflite", "another vocabulary"),
        (b"half of a file", "no stepcell manifest"),
        ((DATA / "gru.tflite").read_bytes()[:-100], "damaged|no stepcell manifest"),
    ],
)
def test_a_model_that_cannot_take_over_is_refused_and_the_old_one_goes_on(folder, new, reason):
    records = records_of(TEXT)
    service, output = serve_and_replace(folder, records[:100], records[100:], new, has_ended, shadow=0)
    assert set(check_answers(output.texts, records)) == {MODELS["lstm"].manifest.fingerprint}
    assert check_store(folder / "state.db") == MODELS["lstm"].manifest.fingerprint
    event = next(json.loads(text) for text in output.texts if "event" in json.loads(text))
    assert (event["event"], event["model"]) == ("model-refused", MODELS["lstm"].manifest.fingerprint)
    assert any("The new model is refused" in text for text in service.told)
    assert service.status.reloads == {"refused": 1}
    assert re.search(reason, event["reason"])


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("shadow", [0, 500])
def test_a_model_that_comes_to_no_number_is_refused(tmp_path, shadow):
    """Its state doubles at each step: some streams cannot be caught up, or leave the numbers beside the old model."""
    files = [
        changed_memory(tmp_path / f"{name}.onnx", of=name, memory=20) for name in ("latch", "growing_softmax")
    ]  # fmt: skip
    latch, growing = (load(file, backend="numpy") for file in files)
    records, refused = records_of("012" * 60, "a"), []
    output = ListOutput()
    with ServiceStore(tmp_path / "state.db", latch.file) as store:

        def hand_over(service):
            service.handover = Handover(service, Engine(growing, store, service.options, None, refused.append))

        place = 150 if not shadow else 10  # after 128 steps its state is infinite
        service = new_service(
            latch, store, [CallingSource(records, place, hand_over)], [output], shadow=shadow, keep=200
        )
        Reloader(service, tmp_path / "none", lambda: growing, lambda _: None)
        service.run()
        assert service.status.reloads == {"refused": 1}
        assert store.owner == latch.manifest.fingerprint
    answers = [json.loads(text) for text in output.texts]
    assert [answer["seq"] for answer in answers if "seq" in answer] == list(range(180))
    assert {answer["model"] for answer in answers} == {latch.manifest.fingerprint}


def test_no_model_takes_over_if_no_inputs_are_kept(folder):
    records = records_of(TEXT)
    service, _ = serve_and_replace(
        folder, records[:20], records[20:40], DATA / "gru.tflite", has_ended, shadow=0, keep=0
    )
    assert service.status.reloads == {"refused": 1}
    with ServiceStore(folder / "state.db", MODELS["gru"].file, any_model=True) as store:
        options = ServeOptions(store=folder / "state.db")
        with pytest.raises(OtherModelError, match="keeps no inputs"):
            take_over_at_start(store, MODELS["gru"], options, print)
    assert check_store(folder / "state.db") == MODELS["lstm"].manifest.fingerprint


@pytest.mark.parametrize("piece", [1, 256])
@pytest.mark.parametrize("order", ["abcdefgh", "hgfedcba"])
def test_a_stream_that_begins_anew_while_others_are_caught_up_loses_nothing(tmp_path, monkeypatch, order, piece):
    """It has then seen as many symbols as before, which does not mean that it has not moved."""
    monkeypatch.setattr(handover, "SLICE", 0.0)
    monkeypatch.setattr(coming, "PIECE", piece)
    old, new = MODELS["lstm"], MODELS["gru"]
    numbers, records = dict.fromkeys(order, 0), []
    for text in ("0123", "6543", "25", "31", "0246", "513"):
        for stream in order:
            for symbol in text:
                start = numbers[stream] in (0, 4)  # the second sequence comes while streams are caught up
                records.append({"stream": stream, "seq": numbers[stream], "symbol": symbol, "start": start})
                numbers[stream] += 1

    def hand_over(service):
        service.handover = Handover(service, Engine(new, service.store, service.options, None, service.tell))

    output = ListOutput()
    with ServiceStore(tmp_path / "state.db", old.file, any_model=True) as store:
        source = CallingSource(records, 4 * len(order) - 1, hand_over)
        service = new_service(old, store, [source], [output], shadow=4)
        Reloader(service, tmp_path / "state.db", lambda: new, lambda _: None)
        service.run()
    named = check_answers(output.texts, records)
    assert len(named) == len(records)
    assert named[-1] == new.manifest.fingerprint
    (event,) = [json.loads(text) for text in output.texts if "event" in json.loads(text)]
    assert event["streams"] == event["exact"] == len(order)


def test_a_start_with_another_file_catches_up_first(tmp_path):
    path, records = tmp_path / "state.db", records_of(TEXT)
    texts = serve(path, MODELS["lstm"], records[:200]) + serve(path, MODELS["stack"], records)
    named = check_answers(texts, records)
    assert named.count(MODELS["lstm"].manifest.fingerprint) == 200
    assert len(named) == sum("symbol" in record for record in records)


def test_a_start_with_a_model_of_another_vocabulary_is_refused(tmp_path):
    path = tmp_path / "state.db"
    serve(path, MODELS["lstm"], records_of(TEXT)[:20])
    with pytest.raises(OtherModelError, match="another vocabulary and another output than the model that"):
        serve(path, load(DATA / "memory.tflite"), [])
    assert check_store(path) == MODELS["lstm"].manifest.fingerprint


def test_a_store_without_streams_takes_any_model(tmp_path):
    path = tmp_path / "state.db"
    serve(path, MODELS["lstm"], [])
    assert len(serve(path, load(DATA / "memory.tflite", backend="numpy"), ["3"])) == 1


def test_streams_with_too_few_inputs_are_counted(tmp_path):
    path, records = tmp_path / "state.db", records_of("0123456" * 100, "a")
    serve(path, MODELS["gru"], records, keep=10, commit_records=7)
    told = []
    with ServiceStore(path, MODELS["lstm"].file, any_model=True) as store:
        event = json.loads(take_over_at_start(store, MODELS["lstm"], ServeOptions(store=path), told.append))
    assert (event["streams"], event["exact"]) == (1, 0)
    assert check_store(path) == MODELS["lstm"].manifest.fingerprint


def test_a_model_that_answers_at_some_steps_is_caught_up_in_its_phase(tmp_path):
    path, records = tmp_path / "state.db", records_of("0123456" * 40, "a")
    sparse = load(answering(tmp_path / "sparse.tflite", 3, 4, of="gru"), backend="numpy")
    texts = serve(path, MODELS["lstm"], records[:150], keep=70) + serve(path, sparse, records[150:])
    found = [answer for answer in map(json.loads, texts) if answer.get("seq", 0) >= 150]
    answered = [answer["seq"] for answer in found if "probability" in answer]
    assert answered == [seq for seq in range(150, 280) if (seq + 1 - 3) % 4 == 0]
    whole = right_answers(records, sparse)
    for answer in found:
        if "probability" in answer:  # the inputs do not go back to the start, but farther than it remembers
            symbol, probability = whole["a", answer["seq"]]
            assert answer["symbol"] == symbol
            assert answer["probability"] == pytest.approx(float(probability), abs=1e-3)


def test_one_input_less_is_noticed(tmp_path, monkeypatch):
    path, records = tmp_path / "state.db", records_of(TEXT[:60])
    texts = serve(path, MODELS["lstm"], records[:40])
    read = Recent.read

    def one_less(self, *given):
        begin, content = read(self, *given)
        return begin, content[: -self.records.size]

    monkeypatch.setattr(Recent, "read", one_less)
    texts += serve(path, MODELS["gru"], records)
    with pytest.raises(AssertionError):
        check_answers(texts, records)


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(commit, after):
    """End the process at a transaction of a store, before it is kept or after."""
    count, original = 0, ServiceStore.commit

    def counted(self, group):
        nonlocal count
        count += 1
        if count == commit and not after:
            raise Killed
        original(self, group)
        if count == commit:
            raise Killed

    ServiceStore.commit = counted
    try:
        yield
    except (Killed, OutputError):
        pass
    finally:
        ServiceStore.commit = original


# A model, one that replaces it while it serves, the records, and the transaction at which all ends.
START = st.tuples(
    st.sampled_from(NAMES), st.sampled_from([None, *NAMES]), st.integers(1, 60), st.integers(1, 14), st.booleans()
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("gru", "stack", 27, 5, True)], "54510226.")  # behind the transaction in which a model takes over
@given(st.lists(START, min_size=1, max_size=6), st.text(SYMBOLS + ".", min_size=1, max_size=90))
def test_a_store_is_of_one_model_and_goes_on_rightly_whatever_is_killed_when(tmp_path, starts, text):
    path, records, texts = tmp_path / "state.db", records_of(text), []
    path.unlink(missing_ok=True)
    for name, then, count, commit, after in starts:
        output, new = ListOutput(), None if then == name else MODELS.get(then)
        with killed_at(commit, after):
            serve(path, MODELS[name], records[:count], output, then=new, commit_records=5, shadow=3)
        texts += output.texts
        if path.exists():
            assert check_store(path) in BY_FINGERPRINT
    texts += serve(path, MODELS["gru"], records)
    check_answers(texts, records)
    assert check_store(path) == MODELS["gru"].manifest.fingerprint
    answered = {(a["stream"], a["seq"]) for a in map(json.loads, texts) if "probability" in a}
    assert answered == {key for key, answer in right_answers(records, MODELS["gru"]).items() if answer}
