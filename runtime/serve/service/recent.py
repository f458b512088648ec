"""Recent inputs: what was fed to the streams of a service since their sequences began, at most so many steps.

A model that takes over is fed them. An input is a record of fixed size: the id of the symbol, then the numbers of each
feature, as they were fed; the end symbol with which a sequence begins, gaps, and the unknown symbol are inputs like all
others. The last ones of a stream are in its note (`Tail`), the earlier ones in rows of the table `recent`: the key,
how many steps came before them since the last reset, and the records, followed by their CRC-32. The row with the key
`INTERFACE` describes what the model reads and answers.
"""

from __future__ import annotations

import json
import zlib
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from ...common.arrays import AnyArray
from ...format.manifest import Manifest
from ...format.tensor_specs import Features, checked_features
from ...streams.model import Model
from ...streams.sqlite_store import to_bytes
from ...streams.store_file import StoreFile
from ...tasks.memory_length import measure_memory
from .store import ServiceStore, Statement

INTERFACE = b"\xff"  # no key of a stream has this byte: keys are UTF-8

FORGET_ALL: Statement = ("DELETE FROM recent", [()])
_PUT = "INSERT OR REPLACE INTO recent VALUES (?, ?, ?)"
# Rows all of whose records are older than a step: those before the one that has the step.
_PRUNE = "DELETE FROM recent WHERE key = ? AND first < (SELECT max(first) FROM recent WHERE key = ? AND first <= ?)"
_TAIL_BYTES = 128  # of a tail, before it becomes a row: larger ones cost more in the note than the row does
_CRC_BYTES = 4
_measured: dict[str, int] = {}  # fingerprint of a model whose file does not say how long it remembers -> what it is


class Tail:
    """The last inputs of a stream, which are not in a row of the table.

    Attributes:
        begin: How many steps came before them since the last reset.
        content: Their records.
    """

    __slots__ = ("begin", "content")

    def __init__(self, begin: int = 0, content: bytes = b"") -> None:
        """Begin with records."""
        self.begin, self.content = begin, bytearray(content)


class Records:
    """The inputs of a model as records of fixed size.

    Attributes:
        size: Bytes of a record.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Write and read for a model."""
        count = len(manifest.vocabulary)
        id_type = "<u2" if count <= 1 << 16 else "<u4"
        self._vocabulary, self._features, self._name = manifest.vocabulary, manifest.features, manifest.name
        fields: list[Any] = [("id", id_type)] if count else []
        fields += [(f"feature{i}", np.dtype(f.dtype).newbyteorder("<"), f.shape) for i, f in enumerate(self._features)]
        self._dtype = np.dtype(fields)
        self.size = self._dtype.itemsize
        self._ids = {symbol: np.array(id, id_type).tobytes() for id, symbol in enumerate(manifest.vocabulary.symbols)}

    def of(self, symbol: str | None, features: Features | None) -> bytes:
        """Return the record of an input that was fed."""
        content = self._ids.get(symbol) if self._ids else b""  # type: ignore[arg-type]  # None is no symbol
        if content is None:
            content = self._ids[self._vocabulary.symbols[self._vocabulary.encode(symbol or "")]]
        return content + self._numbers_of(features) if self._features else content

    def _numbers_of(self, features: Features | None) -> bytes:
        arrays = checked_features(features, self._features, self._name)
        return b"".join([arrays[f.name].astype(np.dtype(f.dtype).newbyteorder("<")).tobytes() for f in self._features])

    def read(self, content: bytes) -> tuple[list[str] | None, dict[str, AnyArray] | None]:
        """Return the symbols of records, and the features by name with the steps as first dimension, as `absorb` does.

        Either is None where the model reads none.
        """
        found = np.frombuffer(content, self._dtype)
        symbols = self._vocabulary.symbols
        ids = [symbols[id] for id in found["id"].tolist()] if self._ids else None
        features = {f.name: found[f"feature{i}"].astype(f.dtype) for i, f in enumerate(self._features)}
        return ids, features or None


class Recent:
    """Writes and reads the recent inputs of streams.

    Attributes:
        records: The inputs as records.
        keep: How many steps are kept of each stream, at least; rows are pruned as a whole.
    """

    def __init__(self, manifest: Manifest, keep: int) -> None:
        """Keep the last `keep` inputs of streams of a model."""
        self.records, self.keep = Records(manifest), keep
        self._interface = json.dumps(interface_of(manifest)).encode()

    def interface_statement(self) -> Statement:
        """Return the statement that describes the model in the store."""
        return _PUT, [(INTERFACE, 0, _with_crc(INTERFACE, 0, self._interface))]

    def settle(self, key: str, tail: Tail, seen: int) -> Sequence[Statement]:
        """Let a tail end behind the steps that its stream has made, and return what the transaction is to do.

        Args:
            key: Key of the stream.
            tail: Its tail, which may hold inputs from before the last reset.
            seen: Steps of the stream since the last reset.
        """
        size = self.records.size
        count = len(tail.content) // size
        has_begun = tail.begin + count != seen  # there was a reset since the last time
        if not has_begun and len(tail.content) < _TAIL_BYTES:
            return ()
        stored = to_bytes(key)
        statements: list[Statement] = []
        if has_begun:
            if tail.begin:
                statements.append(("DELETE FROM recent WHERE key = ?", [(stored,)]))
            count = min(count, seen)
            del tail.content[: len(tail.content) - count * size]
            tail.begin = seen - count
        if len(tail.content) >= _TAIL_BYTES:
            row = stored, tail.begin, _with_crc(stored, tail.begin, bytes(tail.content))
            statements += [(_PUT, [row]), (_PRUNE, [(stored, stored, seen - self.keep)])]
            tail.begin = seen
            tail.content.clear()
        return statements

    def read(self, store: ServiceStore, key: bytes, tail: Tail) -> tuple[int, bytes]:
        """Return all recent inputs of a stream: how many steps came before them, and their records.

        Rows that are damaged, and those before them, are left out.

        Raises:
            OutputError: The store cannot be read.
        """
        begin, pieces = tail.begin, [bytes(tail.content)]
        with store.usable():
            sql = "SELECT first, content FROM recent WHERE key = ? AND first < ? ORDER BY first DESC"
            rows = store.database.execute(sql, (key, begin)).fetchall()
        for first, content in rows:
            found = _without_crc(key, first, content)
            if found is None or first + len(found) // self.records.size != begin:
                break
            pieces.append(found)
            begin = first
        return begin, b"".join(reversed(pieces))

    def tail_to_json(self, tail: Tail) -> str:
        """Return the records of a tail as text, for the note of its stream."""
        return b2a_base64(tail.content, newline=False).decode()

    def tail_of(self, note: Mapping[str, Any], seen: int) -> Tail:
        """Return the tail in the note of a stream that has made `seen` steps; an empty one where there is none."""
        of_service = note.get("serve")
        found = of_service.get("recent") if isinstance(of_service, Mapping) else None
        try:
            content = a2b_base64(found) if isinstance(found, str) else b""
        except (Base64Error, ValueError):
            content = b""
        count, rest = divmod(len(content), self.records.size)
        return Tail(seen) if rest or count > seen else Tail(seen - count, content)


def recent_of(model: Model, keep: int | None) -> Recent | None:
    """Return what keeps the recent inputs of the streams of a model; None: nothing is kept.

    Args:
        model: The model.
        keep: How many steps; None: as many as the model remembers.
    """
    if keep is None:
        keep = memory_of(model) + model.manifest.answers.every - 1  # so that they can begin where a period does
    return Recent(model.manifest, keep) if keep else None


def memory_of(model: Model) -> int:
    """Return how many steps a model remembers, which is measured where its file does not say it."""
    found, fingerprint = model.manifest.memory, model.manifest.fingerprint
    if found is None:
        found = _measured.get(fingerprint)
    if found is None:
        found = _measured[fingerprint] = measure_memory(model)
    return found


def interface_of(manifest: Manifest) -> dict[str, str]:
    """Return what a model reads and answers: name of a part -> a checksum of it. Models that agree can take over."""
    data, vocabulary, labels = manifest.trained_data, manifest.vocabulary, manifest.labels
    parts: dict[str, Any] = {
        "vocabulary": [vocabulary.symbols, vocabulary.unknown],
        "features": [[each.name, each.shape, each.ids] for each in manifest.features],
        "static inputs": [[each.name, each.shape] for each in manifest.static],
        "output": [
            labels and labels.symbols, manifest.output, manifest.output_size,
            [[each.name, each.size, each.activation] for each in manifest.extra_outputs],
        ],
        "reading of data": [dict(data.reading), data.end, dict(data.boundary), data.ahead],
    }  # fmt: skip
    return {name: sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16] for name, part in parts.items()}


def stored_interface(store: ServiceStore | StoreFile) -> Mapping[str, str] | None:
    """Return the interface of the model that the streams of a store belong to; None: nothing of their past is kept.

    Raises:
        OutputError: The store cannot be read.
    """
    with store.usable():
        row = store.database.execute("SELECT content FROM recent WHERE key = ?", (INTERFACE,)).fetchone()
    found = None if row is None else _without_crc(INTERFACE, 0, row[0])
    return None if found is None else json.loads(found)


def _with_crc(key: bytes, first: int, content: bytes) -> bytes:
    return content + zlib.crc32(content, zlib.crc32(b"%d " % first + key)).to_bytes(_CRC_BYTES, "little")


def _without_crc(key: bytes, first: int, content: Any) -> bytes | None:
    """Return the content of a row without its checksum; None: it is not what was put there."""
    if not isinstance(content, bytes) or len(content) < _CRC_BYTES:
        return None
    found = content[:-_CRC_BYTES]
    return found if _with_crc(key, first, found) == content else None
