"""The example of shards: each key in one process, each answer once."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepcell.runtime import load

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "shards"))
from shards import key_of, open_folder, shard_of

SCRIPT = Path(__file__).parents[2] / "examples" / "shards" / "shards.py"
README = SCRIPT.parents[1] / "README.md"
MODEL = Path(__file__).parents[1] / "data" / "memory.tflite"


def test_a_key_has_the_same_shard_in_every_process():
    keys = ["press", "7", "", "größe", "machine-199999"]
    assert [shard_of(key, 8) for key in keys] == [1, 2, 4, 1, 5]
    code = f"from shards import shard_of; print([shard_of(key, 8) for key in {keys}])"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent), "PYTHONHASHSEED": "7"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == [shard_of(key, 8) for key in keys]


def test_keys_are_spread_evenly():
    counts = [0] * 7
    for number in range(7_000):
        counts[shard_of(f"machine-{number}", 7)] += 1
    assert min(counts) > 900


def test_a_line_that_cannot_be_read_has_the_empty_key_for_which_the_service_answers():
    lines = (b"garbage", b"[1]", b'"text"', b'{"seq": 1}', b'{"stream": null}', b'{"stream": "\xff"}')
    assert [key_of(line) for line in lines] == [""] * 6
    assert [key_of(line) for line in (b'{"stream": 7}', b'{"stream": "a"}')] == ["7", "a"]


def test_another_number_of_shards_is_refused(tmp_path):
    open_folder(tmp_path / "events", 4)
    open_folder(tmp_path / "events", 4)
    with pytest.raises(SystemExit, match="has 4 shards, not 8: give --shards 4"):
        open_folder(tmp_path / "events", 8)


def test_the_function_of_the_page_for_quix_streams_steps_as_a_stream_does():
    code = README.read_text().split("```python\n")[1].split("```")[0]
    names = {"base64": base64, "model": load(MODEL)}
    exec(code[code.index("def step(") : code.index("answers =")], names)  # all but the connection to Kafka

    class State(dict):
        def set(self, name, value):
            self[name] = json.loads(json.dumps(value))

    stream, state = load(MODEL).stream(), State()
    for seq, symbol in enumerate("4012340"):
        expected = stream.step(symbol)
        wanted = {"seq": seq, "symbol": expected.symbol, "probability": float(expected.probability)}
        assert names["step"]({"seq": seq, "symbol": symbol}, state) == wanted
        assert names["step"]({"seq": seq, "symbol": symbol}, state) is None


@pytest.mark.slow
def test_after_kills_of_all_processes_the_answers_are_those_of_one_service_each_once(tmp_path):
    draw = random.Random(5)
    streams = {f"machine-{number}": 0 for number in range(40)}
    lines = []
    for _ in range(6_000):
        name = draw.choice(list(streams))
        lines.append(json.dumps({"stream": name, "seq": streams[name], "symbol": draw.choice("01234")}) + "\n")
        streams[name] += 1
    records, events = tmp_path / "records.jsonl", tmp_path / "events"
    records.write_text("".join(lines))

    def start(*command):
        return subprocess.Popen([sys.executable, *command], stdin=records.open("rb"), stdout=subprocess.PIPE, text=True,
                                start_new_session=True)  # fmt: skip

    plain, _ = start("-m", "stepcell.cli", "serve", MODEL, "--store", tmp_path / "one.db").communicate()
    command = [SCRIPT, MODEL, events, "--shards", "3", "--commit-records", "4"]
    for size in (100_000, 500_000):  # of 1.2 MB
        process = start(*command)
        while sum(path.stat().st_size for path in events.glob("?.jsonl")) < size:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = start(*command)
    last.communicate()
    assert last.returncode == 0
    answers = {number: (events / f"{number}.jsonl").read_text().splitlines() for number in range(3)}
    assert sorted(plain.splitlines()) == sorted(line for found in answers.values() for line in found)
    for number, found in answers.items():
        assert {shard_of(json.loads(line)["stream"], 3) for line in found} == {number}
