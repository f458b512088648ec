"""Raw messages of a log are read as the templates that a program printed them with."""

from __future__ import annotations

import csv
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import EventsReader, RowParser
from stepcell.runtime.data.templates import TemplateMatcher, TemplateMiner

PRINTED = (
    "Receiving block <*> src: <*> dest: <*>",
    "PacketResponder <*> for block <*> terminating",
    "Verification succeeded for <*>",
    "user <*> logged in from <*>",
    "connection closed",
)
MESSAGES = (*(text.replace("<*>", "blk_7") for text in PRINTED[:3]), "user anna logged in from 10.0.0.1", PRINTED[4])


def filled(template, draw):
    """Return a message that the template prints: numbers and names in place of its variable words."""
    names = ("anna", "bert", "carla") if template.startswith("user") else ()
    values = (*names, f"blk_-{draw.randrange(10**9)}", f"10.0.{draw.randrange(9)}.1:50010", str(draw.randrange(9)))
    while "<*>" in template:
        template = template.replace("<*>", draw.choice(values), 1)
    return template


def test_known_templates_are_found_again():
    draw, miner = random.Random(3), TemplateMiner()
    messages = [(template, filled(template, draw)) for template in PRINTED * 200]
    draw.shuffle(messages)
    for _, message in messages:
        miner.add(message)
    assert set(miner.templates) == set(PRINTED)
    match = TemplateMatcher(miner.templates).match
    assert all(match(message) == template for template, message in messages)


def test_a_line_that_no_template_fits_is_an_unknown_symbol_itself():
    match = TemplateMatcher(PRINTED).match
    assert match("user anna logged out from 10.0.0.1") == "user anna logged out from 10.0.0.1"
    assert match("user anna logged in") == "user anna logged in"
    assert match("  ") == "  "


def test_the_template_with_the_fewest_variable_words_is_taken():
    match = TemplateMatcher(["<*> is <*>", "disk is <*>", "disk is full"]).match
    assert [match(line) for line in ("disk is full", "disk is ok", "fan is on")] == [
        "disk is full", "disk is <*>", "<*> is <*>",
    ]  # fmt: skip


@given(st.lists(st.text("ab1 ", min_size=1, max_size=12), max_size=30))
def test_every_mined_message_has_a_template(messages):
    miner = TemplateMiner()
    for message in messages:
        miner.add(message)
    match, templates = TemplateMatcher(miner.templates).match, set(miner.templates)
    assert all(match(message) in templates for message in messages if message.split())


def test_a_column_that_holds_no_messages_is_refused():
    miner = TemplateMiner()
    words = ["".join(chr(97 + first // 26**place % 26) for place in range(3)) for first in range(10_001)]
    for word in words[:-1]:
        miner.add(word)
    with pytest.raises(CorpusError, match=r"More than 10,000 templates were found.*--template-column"):
        miner.add(words[-1])


def write_log(path):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["host", "time", "message"])
        rows.writerows([f"host{n}", n, message] for n in range(4) for message in MESSAGES)


def test_a_reader_learns_the_templates_of_a_file_and_reads_others_and_live_rows_by_them(tmp_path):
    write_log(tmp_path / "log.csv")
    plain = EventsReader("message", sequence="host", order="time", end="<end>")
    assert "templates" not in plain.to_json()
    reader = plain.with_templates(tmp_path / "log.csv")
    found = reader.read(tmp_path / "log.csv")
    assert sorted(symbol for symbol in found.symbols if symbol != "<end>") == sorted(reader.templates)
    values = json.loads(json.dumps(reader.to_json()))
    del values["kind"]
    again = EventsReader(**values)
    assert again == reader
    row = {"host": "host9", "time": "5", "message": "Verification succeeded for blk_123"}
    assert RowParser.of(again).parse_mapping(row).symbol == "Verification succeeded for <*>"


def test_templates_are_of_one_column():
    with pytest.raises(CorpusError, match="templates are of one column of messages"):
        EventsReader(("level", "message"), templates=("a <*>",))


def test_templates_of_another_file_are_added_behind_the_known_ones(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("message\nOpen 1\nDisk 1 failed\nOpen 2 now\nDisk 2 failed\nPing\n")
    reader = EventsReader("message", templates=("Ping", "Open <*>")).with_templates(path)
    assert reader.templates == ("Ping", "Open <*>", "Disk <*> failed", "Open <*> now")
    assert reader.read(path).symbols == ("Open <*>", "Disk <*> failed", "Open <*> now", "Ping")
    assert reader.with_templates(path).templates == reader.templates
