"""Models of all kinds take over: each answer is, byte for byte, the one of a service that always had the new model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.live import END, HEADER, HOME, READING, ROWS, plain_model
from support.models import changed_memory, wide_inputs
from support.serving import CallingSource, ListOutput, ListSource, new_service

from stepcell.runtime import load
from stepcell.runtime.serve.service import handover
from stepcell.runtime.serve.service.handover import Handover, take_over_at_start
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.reload import Reloader
from stepcell.runtime.serve.service.start import new_engine
from stepcell.runtime.serve.service.store import ServiceStore
from stepcell.runtime.serve.service.successor import Stage

RANDOM = np.random.default_rng(5)
MORE_ROWS = [f"lamp,{'on' if n % 3 else 'off'},d{n % 2},2024-01-02T10:{n:02}:00,{n}" for n in range(40)]


def wide_records():
    symbols, hours, speeds = wide_inputs(40)
    return [
        {"stream": f"s{n % 3}", "symbol": symbols[n], "hour": int(hours[n]), "speed": speeds[n].tolist()}
        for n in range(40)
    ]


def personal_records():
    users = RANDOM.normal(size=(3, 3)).round(3).tolist()
    first = [{"stream": f"s{n}", "symbol": "3", "user": users[n]} for n in range(3)]
    others = [{"stream": f"s{n % 3}", "symbol": str(n % 5)} for n in range(30)]
    again = [{"stream": "s1", "symbol": "1", "user": users[0], "start": True}, {"stream": "s1", "symbol": "2"}]
    return [*first, *others, {"stream": "s2", "end": True}, *again, {"stream": "s2", "symbol": "4"}]


def begun_records():
    text = ["open", "pick", "ship", "never seen", "open", "pick"] * 4
    records = [{"stream": f"s{n % 2}", "symbol": symbol} for n, symbol in enumerate(text)]
    return [*records, {"stream": "s1", "end": True}, *records]


def pair(tmp_path, name):
    """Return two models that differ in their graph, the records, and options."""
    changes = {"memory": 60}  # else it is measured
    options, records = {}, [{"features": RANDOM.normal(size=4).round(3).tolist()} for _ in range(40)]
    if name == "home":
        changes |= {"vocabulary": HOME, "training": {"data": {"reading": READING, "end": END}}}
        options = {"format": "csv"}
        records = [HEADER.strip(), *(row.strip() for row in ROWS), *MORE_ROWS]
    elif name == "begun":
        plain = load(plain_model(tmp_path)).manifest
        changes |= {"vocabulary": plain.vocabulary, "training": plain.training}
        records = begun_records()
    elif name == "personal":
        records = personal_records()
    elif name == "wide":
        records = wide_records()
    of = name if name in ("wide", "personal", "sensor") else "memory"
    paths = [changed_memory(tmp_path / f"{name}.{suffix}", of=of, **changes) for suffix in ("tflite", "onnx")]
    return *(load(path, backend="numpy") for path in paths), records, options


def serve(store, model, records, **options):
    output = ListOutput()
    service = new_service(model, store, [ListSource(records)], [output], **options)
    service.run()
    return output.texts


@pytest.mark.parametrize("name", ["wide", "personal", "sensor", "home", "begun"])
def test_a_model_of_any_kind_goes_on_at_a_start(tmp_path, name):
    old, new, records, options = pair(tmp_path, name)
    with ServiceStore(tmp_path / "alone.db", new.file) as store:
        right = serve(store, new, records, **options)
    half = len(records) // 2
    with ServiceStore(tmp_path / "state.db", old.file) as store:
        before = serve(store, old, records[:half], **options)
    with ServiceStore(tmp_path / "state.db", new.file, any_model=True) as store:
        take_over_at_start(store, new, ServeOptions(store=tmp_path / "state.db"), print)
        header = records[:1] if name == "home" else []
        after = serve(store, new, [*header, *records[half:]], **options)
    assert len(before) + len(after) == len(right)
    assert after == right[len(before) :]


@pytest.mark.parametrize("shadow", [0, 7])
@pytest.mark.parametrize("name", ["wide", "personal", "sensor", "home", "begun"])
def test_a_model_of_any_kind_takes_over_while_records_come(tmp_path, monkeypatch, name, shadow):
    monkeypatch.setattr(handover, "SLICE", 60.0)  # all streams are caught up at once, however busy the machine is
    old, new, records, options = pair(tmp_path, name)
    with ServiceStore(tmp_path / "alone.db", new.file) as store:
        right = serve(store, new, records, **options)
    output = ListOutput()
    with ServiceStore(tmp_path / "state.db", old.file) as store:

        def begin(service):
            service.handover = Handover(service, new_engine(store, service.options, print, new))

        source = CallingSource(records, len(records) // 2, begin)
        service = new_service(old, store, [source], [output], shadow=shadow, commit_records=3, **options)
        Reloader(service, tmp_path / "none", lambda: new, lambda _: None)
        service.run()
        assert service.status.handover["stage"] == Stage.TAKEN.value
        assert store.owner == new.manifest.fingerprint
        answers = [text for text in output.texts if "event" not in json.loads(text)]
        assert len(answers) == len(right)
        of_new = [place for place, text in enumerate(answers) if new.manifest.fingerprint in text]
        assert of_new == list(range(of_new[0], len(right)))
        assert [answers[place] for place in of_new] == [right[place] for place in of_new]
        assert len(of_new) > len(right) // 4
