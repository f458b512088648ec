"""Lines and sessions of `stepcell predict`, and model files as `stepcell doctor` describes them."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fuzz_data import text_of
from fuzz_kind import DATA, MODEL, Kind, model

from stepcell.runtime import StepcellError
from stepcell.runtime.data import EventsReader
from stepcell.runtime.doctor import TARGET_NAMES, as_json, as_text, diagnose, find_target
from stepcell.runtime.format.model_file import pack

_ROW_MODEL, _GROWN = "rows.onnx", "grown.txt"


def _make_live(folder: Path) -> None:
    (folder / "symbols.txt").write_text("3\n0\n1\n2\n4\n" * 8)
    lines = [json.dumps({"m": f"device {n % 3}", "e": "30124"[n % 5], "x": n / 3}) for n in range(40)]
    (folder / "keyed.jsonl").write_text("\n".join(lines) + "\n")
    reader = EventsReader(symbol="activity", sequence="case", order="time")
    manifest = replace(model().manifest, training={"data": {"reading": reader.to_json()}})
    (folder / _ROW_MODEL).write_bytes(pack(model().file.payload, manifest, "onnx"))
    rows = [(f"c{n % 3}", f"2024-05-01T10:{n:02}:00", "30124"[n % 5]) for n in range(40)]
    (folder / "rows.csv").write_text("case,time,activity\n" + "".join(",".join(row) + "\n" for row in rows))
    objects = [json.dumps(dict(zip(("case", "time", "activity"), row, strict=True))) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(objects) + "\n")


def _read_live(folder: Path, name: str) -> None:
    command = ["--input", str(folder / name), "--unknown", "skip"]
    of_file = {
        "keyed.jsonl": ["--key", "m", "--symbol-field", "e"],
        "rows.csv": ["--format", "csv"],
        "rows.jsonl": ["--format", "jsonl", "--bad-lines", "skip"],
    }
    command += of_file.get(name, [])
    answers = _predict(folder / _ROW_MODEL if name.startswith("rows") else MODEL, *command)
    lines = (folder / name).read_bytes().split(b"\n")
    assert len(answers) <= len(lines), "more answers than lines"
    if name == "keyed.jsonl":
        keys = {text_of(each.get("m")) for each in map(_json, lines) if isinstance(each, dict)}
        found = {answer["stream"] for answer in answers if "probability" in answer}
        assert found <= keys, "the answer of another stream"


def _predict(file: Path, *options: str) -> list[Any]:
    """Return the answers of `stepcell predict`; raises StepcellError where it is refused."""
    from stepcell.cli import app

    answers, words = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(answers), contextlib.redirect_stderr(words):
            app(["predict", str(file), "--json", "--backend", "numpy", *options], standalone_mode=False)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    if code:
        assert code == 1, f"it ends with {code}"
        assert words.getvalue().strip(), "it says nothing"
    found = [json.loads(line) for line in answers.getvalue().split("\n")[:-1]]
    for answer in found:
        assert 0 <= answer.get("probability", 0) <= 1, "a probability is between 0 and 1"
    if code:
        raise StepcellError(words.getvalue())
    return found


def _make_sessions(folder: Path) -> None:
    (folder / _GROWN).write_text("3\n0\n1\n2\n")
    _predict(MODEL, "--input", str(folder / _GROWN), "--state", str(folder / "one.state"))
    lines = [json.dumps({"m": f"device {n % 3}", "symbol": "30124"[n % 5]}) for n in range(9)]
    (folder / "keyed.jsonl").write_text("\n".join(lines) + "\n")
    keyed = ["--key", "m", "--input", str(folder / "keyed.jsonl")]
    _predict(MODEL, *keyed, "--state", str(folder / "keyed.state"))


def _read_session(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    right = content == (folder.parent / "valid" / name).read_bytes()
    sealed = sha256(content[:-32]).digest() == content[-32:]
    keyed = ["--key", "m"] if name == "keyed.state" else []
    data = "keyed.jsonl" if keyed else _GROWN
    _predict(MODEL, *keyed, "--input", str(folder / data), "--state", str(folder / name))
    assert right or sealed, "it is damaged and was taken"


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _make_models(folder: Path) -> None:
    for name in ("memory.tflite", "memory.onnx", "adopted.onnx", "foreign/positional.tflite", "foreign/helper.onnx"):
        shutil.copy(DATA / name, folder / Path(name).name)


def _read_model(folder: Path, name: str) -> None:
    path = folder / name
    diagnosis = diagnose(path, find_target(TARGET_NAMES[0]))  # another machine than this one: nothing is run
    contents = diagnosis.contents
    assert contents is not None, "it says nothing about the file"
    as_text(diagnosis)
    json.dumps(as_json(diagnosis))
    assert contents.bytes == path.stat().st_size, "another size than the file has"
    intact = path.read_bytes() == (folder.parent / "valid" / name).read_bytes()
    assert intact or contents.manifest is None or contents.problem, "it is damaged and was taken"
    if not intact and contents.problem:
        raise StepcellError(contents.problem)


KINDS: dict[str, Kind] = {
    "live lines": Kind(("symbols.txt", "keyed.jsonl", "rows.csv", "rows.jsonl"), _make_live, _read_live),
    "sessions": Kind(("one.state", "keyed.state"), _make_sessions, _read_session),
    "inspected models": Kind(
        ("memory.tflite", "memory.onnx", "adopted.onnx", "positional.tflite", "helper.onnx"), _make_models, _read_model
    ),
}  # fmt: skip
