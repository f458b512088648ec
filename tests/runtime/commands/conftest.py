"""Models for tests of the commands that read data as the training did."""

from __future__ import annotations

import pytest
from support.models import changed_memory

from stepcell.runtime import Vocabulary
from stepcell.runtime.data import EventsReader, TextReader

TEXT = {"reading": TextReader().to_json(), "end": None, "source": "book.txt"}
EVENTS = {
    "reading": EventsReader("event", "case", end="<end>").to_json(), "end": "<end>", "min_count": 1,
    "source": "log.csv", "sha256": "",
}  # fmt: skip
ACTIVITIES = Vocabulary(("take in", "check", "pay", "<unknown>", "<end>"), "<unknown>")


@pytest.fixture(scope="session")
def text_model(tmp_path_factory):
    """The memory model as if trained on a text of the letters a to d and the newline."""
    path = tmp_path_factory.mktemp("text") / "text.tflite"
    return changed_memory(path, vocabulary=Vocabulary(tuple("abcd\n")), training={"data": TEXT})


@pytest.fixture(scope="session")
def events_model(tmp_path_factory):
    """The memory model as if trained on a log of cases."""
    path = tmp_path_factory.mktemp("events") / "events.tflite"
    return changed_memory(path, vocabulary=ACTIVITIES, training={"data": EVENTS})
