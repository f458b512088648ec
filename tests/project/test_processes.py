"""The command `stepcell` in processes of its own: exit codes, closed pipes, Ctrl-C, and what is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from support.models import DATA

STEPCELL = Path(sys.executable).with_name("stepcell")
TFLITE, TEXT = str(DATA / "memory.tflite"), str(Path(__file__))

# Arguments -> exit code and a part of the message; run in a folder with "model.keras", a file of Keras.
REFUSED = [
    ("x", 2, "No such command"),
    ("train x", 2, "No such command"),
    ("train memory", 2, "Missing option '--out'"),
    ("train memory --out run --cell x", 2, "not one of"),
    ("train memory --out run --schedule x", 2, "not one of"),
    ("train memory --out run --search 0", 2, "--search"),
    ("train memory --out run --units 0", 1, "units is 0"),
    ("train memory --out run --units 9999999", 1, "units is 9999999"),
    ("train memory --out run --layers 0", 1, "layers is 0"),
    ("train memory --out run --dropout 1", 1, "dropout is 1.0"),
    ("train memory --out run --embedding -1", 1, "embedding is -1"),
    ("train memory --out run --forget-bias nan", 1, "must be finite"),
    ("train memory --out run --chrono-init -1", 1, "chrono_init is -1"),
    ("train memory --out run --seed -1", 1, "the seed is -1"),
    ("train memory --out run --learning-rate 0", 1, "learning_rate is 0.0"),
    ("train memory --out run --clip-norm 0", 1, "clip_norm is 0.0"),
    ("train memory --out run --max-updates 0", 1, "max_updates is 0"),
    ("train memory --out run --minutes -2", 1, "minutes is -2.0"),
    ("train memory --out run --threads 0", 1, "threads is 0"),
    ("train memory --out run --length 1", 1, "have no middle"),
    ("train memory --out run --sequence a", 1, "two symbols or more"),
    ("train memory --out run --resume", 1, "no run"),
    ("train memory --out run --search 2 --resume", 1, "no search"),
    ("train memory --out run --tensorboard /dev/null/x", 1, "Cannot write to the folder"),
    ("train memory --out /dev/null/run", 1, "Cannot write to the folder"),
    ("train memory --out /dev/null/run --search 2", 1, "Cannot write to the folder"),
    ("train alphabet --out run --longest 0", 1, "the longest sequence has 0 letters"),
    ("train echo --out run --lag -1", 1, "cannot be echoed"),
    ("train replay --out run --count 0", 1, "count is 0"),
    ("train recall --out run --lag -1", 1, "lag is -1"),
    ("train order --out run --marks 5", 1, "2 or 3 marks"),
    ("train text /dev/null --out run", 1, "/dev/null is empty"),
    ("train text none.txt --out run", 1, "Cannot read none.txt"),
    (f"train text {TEXT} --out run --held-out 2", 1, "held out"),
    (f"train text {TEXT} --out run --unit page", 2, "not one of"),
    (f"train text {TEXT} --out run --encoding utf-99", 1, "no encoding"),
    (f"train text {TEXT} --out run --max-symbols 3", 1, "--max-symbols"),
    ("train events none.csv --out run", 1, "Cannot read none.csv"),
    (f"train events {TEXT} --out run --format csv --symbol x", 1, "no column 'x'"),
    (f"train events {TEXT} --out run --gaps 1min", 1, "--order"),
    (f"train events {TEXT} --out run --symbol-weight A", 1, "--symbol-weight A is not SYMBOL=FACTOR"),
    (f"train events {TEXT} --out run --format xlsx", 2, "not one of"),
    ("reproduce --seeds 0", 2, "--seeds"),
    ("reproduce nothing", 1, "There is no system or group called 'nothing'"),
    ("demo --seed -1", 1, "the seed is -1"),
    ("demo --steps 1", 2, "--steps"),
    ("demo --out /dev/null/x", 1, "Cannot write to the folder"),
    ("demo --run /dev/null/x", 1, "Cannot write to the folder"),
    ("demo --page none/demo.html", 1, "Cannot write none/demo.html: there is no folder"),
    ("demo --page .", 1, "it is a folder"),
    ("export nowhere --out build", 1, "There is no Keras model at nowhere"),
    (f"export {TFLITE} --out build", 1, "is not a .keras file"),
    ("export model.keras", 2, "Missing option '--out'"),
    ("export model.keras --out /dev/null/x", 1, "Cannot write to the folder"),
    ("export model.keras --out build --format pb", 2, "not one of"),
    ("export model.keras --out build --quantize int4", 2, "not one of"),
    ("export model.keras --out build --allow-inaccurate x", 2, "not one of"),
    ("export model.keras --out build --steps 1", 2, "--steps"),
    ("export model.keras --out build --vocabulary none.txt", 1, "Cannot read the vocabulary none.txt"),
    ("export model.keras --out build --labels none.txt", 1, "Cannot read the vocabulary none.txt"),
    ("export model.keras --out build --initial-state none.npz", 1, "There is no file none.npz"),
    (f"check {TFLITE}", 2, "Missing option '--keras'"),
    (f"check {TFLITE} --keras nowhere.keras", 1, "There is no Keras model at nowhere.keras"),
    ("check none.tflite --keras model.keras", 1, "There is no file none.tflite"),
    (f"check {TFLITE} --keras model.keras --plot /dev/null/x/y.png", 1, "Cannot write to the folder"),
    (f"bench {TFLITE} --keras nowhere", 1, "There is no Keras model at nowhere"),
    (f"bench {TFLITE} --keras model.keras --backend onnxruntime", 2, "does not step .tflite files"),
    (f"bench {TFLITE} --keras model.keras --plot /dev/null/x/y.png", 1, "Cannot write to the folder"),
    ("adopt none.tflite --out x.tflite", 1, "Cannot read none.tflite"),
    (f"adopt {TFLITE} --out x.tflite --activation relu", 2, "not one of"),
    ("predict", 2, "Missing argument"),
    ("predict none.tflite", 1, "There is no file none.tflite"),
    (f"predict {TFLITE} --follow", 2, "--follow needs --input"),
    (f"predict {TFLITE} --max-streams 5", 2, "needs --key"),
    (f"predict {TFLITE} --backend onnxruntime", 2, "does not step .tflite files"),
    (f"generate {TFLITE} --top-p 7", 2, "top_p is 7.0"),
    (f"score {TFLITE} {TFLITE} --backend lite", 2, "'lite' does not step .tflite files; these do: 'litert'"),
    (f"calibrate {TFLITE} none.txt --out threshold", 1, "Cannot read none.txt"),
    (f"evaluate {TFLITE} none.txt", 1, "Cannot read none.txt"),
    (f"inspect {TEXT}", 1, "neither a TFLite nor an ONNX file"),
    ("doctor --target vax", 2, "not one of"),
]  # fmt: skip

# Runs command lines one after the other and says of each: exit code, CPU-seconds, stdout, stderr, heavy imports.
RUN_ALL = """
import json, sys, time
from typer.testing import CliRunner
from stepcell.cli import app
for line in json.load(sys.stdin):
    before = time.process_time()
    result = CliRunner().invoke(app, line.split(), env={"COLUMNS": "200"})
    spent = time.process_time() - before
    heavy = [name for name in ("tensorflow", "keras") if name in sys.modules]
    print(json.dumps([result.exit_code, spent, result.stdout, result.stderr, heavy]))
"""


def test_what_is_refused_is_one_message_within_a_second_without_tensorflow(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    lines = [arguments for arguments, _, _ in REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps(lines),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for (arguments, code, message), (exit_code, spent, stdout, stderr, heavy) in zip(REFUSED, results, strict=True):
        assert (arguments, exit_code, stdout, heavy) == (arguments, code, "", [])
        assert message in " ".join(stderr.split()), arguments
        assert "Traceback" not in stderr, arguments
        assert spent < 1, arguments
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_predict_answers_before_the_next_line_arrives_and_ends_with_its_input():
    with subprocess.Popen(
        [STEPCELL, "predict", TFLITE], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for symbol, answer in zip("3012", "0123", strict=True):
            process.stdin.write(symbol + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == answer + "\n"
        process.stdin.close()
        assert process.wait() == 0


def test_closed_and_full_pipes_give_no_traceback():
    script = f"""
        yes 3 | {STEPCELL} predict {TFLITE} | head -n 2 | tr '\\n' ' '
        printf '3\\n' | {STEPCELL} predict {TFLITE} <&-
        printf '3\\n' | {STEPCELL} predict {TFLITE} >/dev/full
        printf '3\\n' | {STEPCELL} predict {TFLITE} 2>&-
    """
    done = subprocess.run(script, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.split()[::2] == ["0", "0"]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_during_training_keeps_what_was_learned(tmp_path):
    command = [STEPCELL, "train", "echo", "--units", "4", "--out", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)  # it is written once something has been learned
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped (interrupted)" in stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["stopped"] == "interrupted"
    assert (tmp_path / "run" / "model.keras").exists()
