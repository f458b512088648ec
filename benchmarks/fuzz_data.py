"""Tables, JSON lines, Parquet and texts, for benchmarks/fuzz.py."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_kind import Kind

from stepcell.runtime.data import EventsReader, Recording, SymbolsReader, TextReader

_ROWS = [("case", "time", "activity", "speed")] + [
    (f"c{n % 3}", f"2024-05-{1 + n // 20:02}T10:{n % 20:02}:00", ("open", "close", "wait a bit", "\u00e9")[n % 4],
     f"{n / 8}") for n in range(60)
]  # fmt: skip
_READER = {"symbol": "activity", "sequence": "case", "order": "time", "features": {"speed": "speed"}}


def _make_tables(folder: Path) -> None:
    for name, delimiter in (("log.csv", ","), ("log.tsv", "\t"), ("quoted.csv", ";")):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            quoting = csv.QUOTE_ALL if name == "quoted.csv" else csv.QUOTE_MINIMAL
            csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerows(_ROWS)
    (folder / "log.csv.gz").write_bytes(gzip.compress((folder / "log.csv").read_bytes(), mtime=0))


def _make_json_lines(folder: Path) -> None:
    objects = [dict(zip(_ROWS[0], (*row[:3], float(row[3])), strict=True)) for row in _ROWS[1:]]
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)
    (folder / "log.jsonl").write_text(text, encoding="utf-8")
    (folder / "log.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def _make_parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = dict(zip(_ROWS[0], zip(*_ROWS[1:], strict=True), strict=True))
    table = pyarrow.table({**columns, "speed": [float(cell) for cell in columns["speed"]]})
    times = pyarrow.array(np.array(columns["time"], "M8[us]"))
    pyarrow.parquet.write_table(table, folder / "log.parquet")
    table = table.set_column(1, "time", times).drop_columns(["case"]).append_column("case", table.column("case"))
    pyarrow.parquet.write_table(table, folder / "times.parquet", compression="gzip")


def _make_texts(folder: Path) -> None:
    text = "The cat sat on the mat, 12 times; caf\u00e9.\nIt wasn't (3.5) late.\n" * 6
    for name in ("characters.txt", "words.txt", "bytes.txt"):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "packed.txt.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (folder / "symbols.txt").write_text("".join(f"{row[2]}\n" for row in _ROWS[1:]), encoding="utf-8")
    (folder / "log.lines").write_text("open close\nwait open close\n1 2 3\n" * 9, encoding="utf-8")


def _read_table(folder: Path, name: str) -> None:
    path = folder / name
    recording = EventsReader(**_READER).read(path)
    _check(recording)
    if ".jsonl" in name:
        found = [json.loads(line) for line in _lines(path) if line.strip()]
        rows: Iterable[Mapping[str, Any]] = [{key: text_of(row.get(key)) for key in _ROWS[0]} for row in found]
    elif name.endswith(".parquet"):
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path, columns=list(_ROWS[0]))
        if not all(map(_is_plain, (table.schema.field(name).type for name in ("activity", "case", "speed")))):
            return  # dates, times and bytes as text: as JSON has them
        rows = [{key: text_of(cell) for key, cell in row.items()} for row in table.drop_columns("time").to_pylist()]
    else:
        delimiter = recording.found.rpartition("by ")[2].strip("'").replace("\\t", "\t")
        content = io.StringIO(_content(path).decode("utf-8-sig"), newline="")
        while not (first := content.readline()).strip():
            pass
        table = list(csv.reader([first, *content], delimiter=delimiter, strict=True))
        rows = [dict(zip(table[0], row, strict=True)) for row in table[1:] if row]
    used = [row for row in rows if row["activity"] and row["case"]]
    expected = Counter((row["activity"], float(np.float32(float(row["speed"])))) for row in used)
    values = recording.features.values[:, 0].tolist() if recording.features else []
    events = Counter(zip((recording.symbols[id] for id in recording.ids), values, strict=True))
    assert events == expected, f"other events than in the file: {list((events - expected) + (expected - events))[:3]}"
    assert len(recording) == len({row["case"] for row in used}), "other sequences than in the file"


def _is_plain(kind: Any) -> bool:
    import pyarrow.types as types

    return types.is_string(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def text_of(cell: Any) -> str:
    """Return a cell as a symbol is written; nothing: an empty one."""
    return "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell, default=str)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _lines(path: Path, newline: str | None = None) -> list[str]:
    return list(io.StringIO(_content(path).decode("utf-8-sig"), newline=newline))


def _check(recording: Recording) -> None:
    """Raise AssertionError for a recording that cannot be one."""
    assert all(isinstance(symbol, str) and symbol and symbol.encode() for symbol in recording.symbols), "empty symbols"
    assert len(set(recording.symbols)) == len(recording.symbols), "a symbol has one id"
    assert recording.ids.size > 0, "there is nothing in it"
    assert 0 <= recording.ids.min() <= recording.ids.max() < len(recording.symbols), "ids without a symbol"
    assert (recording.lengths > 0).all(), "a sequence without symbols"
    assert recording.starts[0] == 0, "the first sequence begins at the beginning"
    assert recording.starts[-1] == len(recording.ids), "the last sequence ends at the end"
    if recording.times is not None:
        assert np.isfinite(recording.times).all(), "a time is not finite"
        within = np.ones(len(recording.ids) - 1, bool)
        within[recording.starts[1:-1] - 1] = False
        assert (np.diff(recording.times)[within] >= 0).all(), "times run backwards"
    if recording.features is not None:
        assert np.isfinite(recording.features.values).all(), "a feature is not finite"


def _read_text(folder: Path, name: str) -> None:
    path = folder / name
    unit = {"words.txt": "word", "bytes.txt": "byte"}.get(name, "character")
    reader = SymbolsReader() if name == "symbols.txt" else EventsReader() if name == "log.lines" else TextReader(unit)
    recording = reader.read(path)
    _check(recording)
    found = [recording.symbols[id] for id in recording.ids]
    if unit == "byte":
        assert "".join(found) == path.read_bytes().hex(), "other bytes than in the file"
    elif name == "symbols.txt":
        assert len(found) == sum(bool(line.rstrip("\r\n")) for line in _lines(path, "\n")), "a line is a symbol"
    elif name == "log.lines":
        assert found == "".join(_lines(path)).split(), "other symbols than in the file"
    else:
        text = "".join(_lines(path))
        separator = "" if unit == "character" else " "
        expected = text if unit == "character" else " ".join(text.replace("\n", " \n ").split(" "))
        same = separator.join(found) == expected if unit == "character" else _visible(found) == _visible([text])
        assert same, "another text than in the file"


def _visible(pieces: Iterable[str]) -> str:
    return "".join("".join(pieces).split())


KINDS: dict[str, Kind] = {
    "tables": Kind(("log.csv", "log.tsv", "quoted.csv", "log.csv.gz"), _make_tables, _read_table),
    "json lines": Kind(("log.jsonl", "log.jsonl.gz"), _make_json_lines, _read_table),
    "parquet": Kind(("log.parquet", "times.parquet"), _make_parquet, _read_table),
    "texts": Kind(
        ("characters.txt", "words.txt", "bytes.txt", "packed.txt.gz", "symbols.txt", "log.lines"),
        _make_texts, _read_text,
    ),
}  # fmt: skip
