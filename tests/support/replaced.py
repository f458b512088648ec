"""Streams that are served by one model and then by another, and what is right after that."""

from __future__ import annotations

import json
import sqlite3

from support.models import DATA
from support.serving import CallingSource, ListOutput, ListSource, new_service

from stepcell.runtime import load
from stepcell.runtime.serve.service.engine import Engine
from stepcell.runtime.serve.service.handover import Handover, take_over_at_start
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.reload import Reloader
from stepcell.runtime.serve.service.store import ServiceStore
from stepcell.runtime.streams.saved_state import parse_saved_streams

# Models of the same symbols whose states have other names and shapes.
NAMES = ("lstm", "gru", "three_lstm", "stack", "convolution")
MODELS = {name: load(DATA / f"{name}.tflite", backend="numpy") for name in NAMES}
BY_FINGERPRINT = {model.manifest.fingerprint: model for model in MODELS.values()}
SYMBOLS = "0123456"


def records_of(text, streams="ab"):
    """Return numbered records; upper-case letters of a stream start a sequence, and "." ends it."""
    numbers, records = dict.fromkeys(streams, 0), []
    for place, symbol in enumerate(text):
        stream = streams[place % len(streams)]
        record = {"stream": stream, "seq": numbers[stream]}
        record |= {"end": True} if symbol == "." else {"symbol": symbol}
        records.append(record)
        numbers[stream] += 1
    return records


def right_answers(records, model):
    """Return (stream, seq) -> probability and symbol, as a stream answers that was never handed over."""
    streams, found = {}, {}
    for record in records:
        stream = streams.setdefault(record["stream"], model.stream())
        if record.get("start"):
            stream.reset()
        if "symbol" in record:
            answer = stream.step(record["symbol"])
            found[record["stream"], record["seq"]] = answer and (answer.symbol, f"{answer.probability:.6f}")
        else:
            stream.reset()
    return found


def check_answers(texts, records, models=BY_FINGERPRINT):
    """Each answer is that of the model that it names; return the models in the order of their answers."""
    right = {fingerprint: right_answers(records, model) for fingerprint, model in models.items()}
    named = []
    for text in texts:
        answer = json.loads(text)
        if "event" in answer or "probability" not in answer:
            continue
        found = answer["symbol"], f"{answer['probability']:.6f}"
        assert right[answer["model"]][answer["stream"], answer["seq"]] == found
        named.append(answer["model"])
    return named


def check_store(path):
    """All streams are of the model that the store names, which is returned."""
    with sqlite3.connect(path) as database:
        ((owner,),) = database.execute("SELECT fingerprint FROM model")
        for (content,) in database.execute("SELECT state FROM streams"):
            assert parse_saved_streams(content, "row").fingerprint == owner
    return owner


def serve(path, model, records, output=None, *, then=None, **options):
    """Serve records with a store of any model; the model `then` comes half-way. Return the answers."""
    output = output or ListOutput()
    told = []

    def hand_over(service):
        engine = Engine(then, service.store, service.options, None, service.tell)
        service.handover = Handover(service, engine)

    with ServiceStore(path, model.file, any_model=True) as store:
        event = take_over_at_start(store, model, ServeOptions(store=path, **options), told.append)
        source = ListSource(records) if then is None else CallingSource(records, len(records) // 2, hand_over)
        service = new_service(model, store, [source], [output], **options)
        service.events += [event] if event else []
        Reloader(service, path, lambda: then, lambda _: None)
        service.run()
    return output.texts
