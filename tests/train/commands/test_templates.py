"""`stepcell train events --template-column`: from raw messages to alerts that quote them."""

from __future__ import annotations

import csv
import json

import pytest
from support.command_line import stepcell

MESSAGES = ("Receiving block blk_{} src: 10.0.0.{}", "PacketResponder {} for blk_{} terminating", "Deleting {} of {}")


def write_log(path):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["host", "message"])
        rows.writerows((f"h{n // 30}", MESSAGES[n % 3].format(n, n % 7)) for n in range(600))


@pytest.mark.slow
def test_raw_messages_are_learned_exported_and_watched_by_their_templates(tmp_path):
    log, run, live = tmp_path / "log.csv", tmp_path / "run", tmp_path / "live.jsonl"
    write_log(log)
    train = ("train", "events", log, "--sequence", "host", "--out", run, "--units", 8, "--max-updates", 200)
    assert stepcell(*train, "--template-column", "message").exit_code == 0
    assert stepcell("export", run, "--format", "tflite", "--out", tmp_path / "m", "--steps", 200).exit_code == 0
    file = tmp_path / "m" / "model.tflite"
    assert "100.00" in stepcell("score", file, log).stdout
    raw = ["Receiving block blk_9 src: 10.0.0.1", "Deleting 7 of 9", "PacketResponder 1 for blk_9 terminating"]
    live.write_text("".join(json.dumps({"host": "h", "message": text}) + "\n" for text in raw))
    said = stepcell("predict", file, "--format", "jsonl", "--json", "--alert-below", 0.1, input=live.read_text())
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    assert [answer["input"] for answer in answers] == [
        "Receiving block <*> src: <*>", "Deleting <*> of <*>", "PacketResponder <*> for <*> terminating",
    ]  # fmt: skip
    assert answers[0]["symbol"] == "PacketResponder <*> for <*> terminating"
    assert answers[1]["alert"] is True
    assert json.loads(answers[1]["line"])["message"] == raw[1]


def test_a_column_of_symbols_beside_that_of_messages_is_refused(tmp_path):
    write_log(tmp_path / "log.csv")
    options = ("--symbol", "host", "--template-column", "message", "--out", tmp_path / "run")
    done = stepcell("train", "events", tmp_path / "log.csv", *options)
    assert (done.exit_code, "leave out --symbol" in done.stderr + str(done.exception)) == (2, True)
    assert not (tmp_path / "run").exists()
