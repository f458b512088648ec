"""Cases D1 to D25: data that are misread."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stepcell.runtime import Vocabulary
from stepcell.runtime.common.errors import StepcellError
from stepcell.runtime.data import Corpus, EventsReader, FeatureColumns, Recording, RowParser, TextReader

from . import Row, stepcell

HEADER = "time,event\n"


def _read(path: Path, content: str | bytes, reader: EventsReader) -> Any:
    """Return the symbols of a file, a list for each sequence if there are several; or the message that refuses it."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        found = reader.read(path)
    except StepcellError as error:
        return str(error)
    sequences = [found.sequence(index) for index in range(len(found))]
    return sequences if len(sequences) > 1 else sequences[0]


def _says(message: Any, *parts: str) -> bool:
    return isinstance(message, str) and all(part in message for part in parts)


def case_D1(folder: Path) -> Row:  # noqa: N802
    """An open quotation mark is refused with its line, in every column."""
    lines = ["case,time,event", *(f"{case},{time},{event}" for case in range(1, 41)
                                  for time, event in enumerate(["open", "pick", "pack", "ship"], 1))]  # fmt: skip
    seen = []
    for line, column in ((78, 2), (77, 0), (160, 1)):
        cells = lines[line].split(",")
        cells[column] = '"' + cells[column]
        path = folder / "q.csv"
        path.write_text("\n".join([*lines[:line], ",".join(cells), *lines[line + 1 :]]) + "\n")
        options = ("--symbol", "event", "--sequence", "case", "--order", "time", "--out", "run")
        done = stepcell("train", "events", path, *options)
        seen.append((done.returncode, f"line {line + 1} on" in done.stderr))
    return Row('20,2,"pick of 160 events; two other columns', [(1, True)] * 3, seen)


def case_D2(folder: Path) -> Row:  # noqa: N802
    """A JSON object as vocabulary is read as symbol -> id, or refused with the ids that are missing."""
    words = ["open", "pick", "ship"]

    def read(values: Any) -> Any:
        try:
            return list(Vocabulary.from_file_content(json.dumps(values, indent=1)))
        except StepcellError as error:
            return "no symbol has the id 0, 1 (the Tokenizer of Keras" in str(error)

    ids = [{word: id + first for id, word in enumerate(words)} for first in (0, 2)]
    return Row('{"open": 0, ...} and {"open": 2, ...}', [words, True], [read(one) for one in ids])


def case_D4(folder: Path) -> Row:  # noqa: N802
    """A unit of gaps on numbers without a unit is refused with a guess."""
    content = HEADER + "1704067200000,a\n1704067290000,b\n"
    path = folder / "ms.csv"
    refused = _read(path, content, EventsReader("event", order="time", gaps="1min,1h"))
    read = _read(path, content, EventsReader("event", order="time", gaps="1min,1h", time_unit="ms"))
    seen = [_says(refused, "milliseconds since 1970: --time-unit ms"), read]
    return Row("milliseconds 90 s apart, --gaps 1min,1h", [True, ["a", "b", "gap<1h"]], seen)


def case_D6(folder: Path) -> Row:  # noqa: N802
    """Values of Parquet are the symbols that JSON lines call them."""
    import pyarrow
    import pyarrow.parquet

    values = {"bytes": b"open", "true": True, "whole": 1, "half": 1.5, "text": "a"}
    pyarrow.parquet.write_table(pyarrow.table({name: [value] for name, value in values.items()}), "events.parquet")
    in_json = {**values, "bytes": "open"}
    Path("events.jsonl").write_text(json.dumps(in_json) + "\n")
    seen = [[EventsReader(name).read(Path(f"events.{kind}")).sequence(0)[0] for name in values]
            for kind in ("parquet", "jsonl")]  # fmt: skip
    return Row("bytes, true, 1, 1.5, text in Parquet and JSON", [["open", "true", "1", "1.5", "a"]] * 2, seen)


def case_D7(folder: Path) -> Row:  # noqa: N802
    """%Z is a zone, whatever the zone of the machine."""
    (folder / "zones.csv").write_text("12:00:00 EST,x\n13:00:00 UTC,y\n14:00:00 UTC,z\n")
    code = (
        "from pathlib import Path; from stepcell.runtime.data import EventsReader\n"
        "reader = EventsReader('2', order='1', header=False, time_format='%H:%M:%S %Z')\n"
        "print(*reader.read(Path('zones.csv')).sequence(0))"
    )
    environment = {**os.environ, "TZ": "America/New_York"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    other = _read(folder / "cet.csv", "2024-01-01 12 CET,x\n", EventsReader("2", order="1", header=False,
                                                                            time_format="%Y-%m-%d %H %Z"))  # fmt: skip
    return Row("12 EST x, 13 UTC y, 14 UTC z; CET", ["y z x", True], [done.stdout.strip(), _says(other, "'CET'", "%z")])


def case_D8(folder: Path) -> Row:  # noqa: N802
    """Nine digits of a second are kept."""
    rows = "".join(
        f"2024-01-01T10:00:54.0882{end},{event}\n" for end, event in (("49400", "c"), ("49088", "a"), ("49200", "b"))
    )
    seen = [_read(folder / "ns.csv", HEADER + rows, EventsReader("event", order="time", time_format=time_format))
            for time_format in (None, "%Y-%m-%dT%H:%M:%S.%f")]  # fmt: skip
    return Row("...54.088249400 c, ...088 a, ...200 b", [["a", "b", "c"]] * 2, seen)


def case_D9(folder: Path) -> Row:  # noqa: N802
    """A format without a year is refused."""
    try:
        EventsReader("event", order="time", time_format="%b %d %H:%M:%S")
        seen = "accepted"
    except StepcellError as error:
        seen = str(_says(str(error), "has no year"))
    return Row("--time-format '%b %d %H:%M:%S'", "True", seen)


def case_D10(folder: Path) -> Row:  # noqa: N802
    """Words keep their combining marks."""
    text = "नमस्ते दुनिया है مُحَمَّدٌ رَسُولُ שָׁלוֹם தமிழ் می\u200cخواهم"  # noqa: RUF001
    return Row("8 words of 5 scripts", text.split(), TextReader("word").split(text))


def case_D11(folder: Path) -> Row:  # noqa: N802
    """Times that Python 3.10 does not read by itself."""
    times = ("2024-01-02 10:15:02+02", "20240102T081501Z", "2024-01-02 08:15:00,500")
    content = "time;event\n" + "".join(f"{time};{event}\n" for time, event in zip(times, "cba", strict=True))
    return Row(
        "+02, T081501Z, 08:15:00,500",
        ["a", "b", "c"],
        _read(folder / "iso.csv", content, EventsReader("event", order="time")),
    )


def case_D12(folder: Path) -> Row:  # noqa: N802
    """A long column that is not read does no harm."""
    content = f"event,payload\na,{'x' * 200_000}\nb,y\n"
    return Row(
        "200,000 characters beside the symbol", ["a", "b"], _read(folder / "long.csv", content, EventsReader("event"))
    )


def case_D13(folder: Path) -> Row:  # noqa: N802
    """A delimiter that is doubtful is decided by the order column, or asked for."""
    content = "open;2024-01-01 00:00:00,123\nship;2024-01-01 00:00:00,120\n"
    path = folder / "two.csv"
    seen = [_read(path, content, EventsReader("1", order="2", header=False)),
            _says(_read(path, content, EventsReader("1", header=False)), "--delimiter")]  # fmt: skip
    return Row("open;2024-01-01 00:00:00,123 without a header", [["ship", "open"], True], seen)


def case_D14(folder: Path) -> Row:  # noqa: N802
    """Misleading messages: gzip, xlsx, float32, sep=;, decimal commas."""
    reader, path = EventsReader("event", order="time"), folder / "any.csv"
    import numpy as np

    def constant() -> str:
        values = np.float32(1_700_000_000 + np.arange(60)[:, None])
        try:
            FeatureColumns(("t",), values).stats()
        except StepcellError as error:
            return str(error)
        return ""

    seen = [
        _read(path, gzip.compress((HEADER + "1,a\n2,b\n").encode()), reader),
        _says(_read(path, b"PK\x03\x04" + bytes(300), reader), "Excel workbook"),
        _says(constant(), "in float32", "subtract"),
        _read(path, "sep=;\ntime;event\n1;a\n2;b\n", reader),
        _says(_read(path, "time;event\n1,5;a\n2,5;b\n", reader), "decimal comma as a point: 1.5"),
    ]
    return Row("gzip, xlsx, 1700000000 + t, sep=;, 1,5", [["a", "b"], True, True, ["a", "b"], True], seen)


def case_D17(folder: Path) -> Row:  # noqa: N802
    """Columns are joined to one symbol, in files and of a live line; what is ambiguous is refused."""
    reader = EventsReader(("entity_id", "state"))
    content = "entity_id,state\nlamp,on\ndoor,open\n"
    seen = [
        _read(folder / "home.csv", content, reader),
        RowParser.of(reader).parse_mapping({"state": "off", "entity_id": "lamp"}).symbol,
        _says(_read(folder / "home.csv", content + "a=b,on\n", reader), "line 4", "'entity_id'", "--join"),
    ]
    return Row("--symbol entity_id --symbol state", [["lamp=on", "door=open"], "lamp=off", True], seen)


def case_D21(folder: Path) -> Row:  # noqa: N802
    """Many words have an embedding and a least count by default."""
    from stepcell.train.network.network import default_embedding

    words = [f"w{number}" for number in range(5_131)]
    recording = Recording.of([words + words[:2_500] * 2])
    corpus = Corpus.of(recording, min_count=None)
    seen = [corpus.min_count, default_embedding(5_131), default_embedding(30)]
    return Row("5,131 different words; 30 symbols", [2, 72, 0], seen)
