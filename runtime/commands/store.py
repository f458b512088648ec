"""The commands `stepcell store show`, `export`, `forget`, `backup` and `vacuum`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.printable import counted, printable_json
from .options import AsJson, argument, data

if TYPE_CHECKING:
    from ..streams.store_file import StoredStream, StoreFile

_SHOWN = 50  # streams in a table
_NUMBERS = 8  # numbers of a state, for people

File = Annotated[Path, argument("File of the store.")]
Key = Annotated[str, data("Key of the stream.", flag="--stream", metavar="KEY")]

store = typer.Typer(
    no_args_is_help=True, add_completion=False,
    help="Look at the store of a service, copy it, and remove streams from it.\n\nNo model is needed. show, export and "
    "backup work while the service runs.\n\nExample: stepcell store show state.db",
)  # fmt: skip


@store.command()
def show(
    file: File,
    stream: Annotated[str | None, data(
        "Key of the stream to show, with its last answer and its state.", "all streams", metavar="KEY")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show the streams of a store, how far its inputs were read, and which answers wait. Nothing is changed.

    The exit code is 1 if a stream is damaged.

    Example: stepcell store show state.db --json
    """
    from ..common.terminal import print_table, print_text
    from ..streams.store_file import StoreFile

    with StoreFile(file) as found:
        if stream is not None:
            one = found.find(stream)
            print_text(printable_json(_details(one)) if as_json else "\n".join(_lines(one)))
            problems = [one.problem]
        else:
            shown = list(found.streams(None if as_json else _SHOWN))
            problems = [one.problem for one in shown]
            if as_json:
                print_text(printable_json(_summary(found, shown)))
            else:
                print_table(["stream", "symbols", "next seq", "last used"], [_row(one) for one in shown], _note(found))
    for problem in filter(None, problems):
        print_text(problem, err=True)
    if any(problems):
        raise SystemExit(1)


@store.command()
def export(
    file: File,
    out: Annotated[Path, argument("File of the saved state to write.")],
    stream: Key,
) -> None:
    """Write a stream as a saved state of its own, which predict --state and Stream.restore go on from.

    Example: stepcell store export state.db --stream press press.state
    """
    from ..common.terminal import print_text
    from ..streams.store_file import StoreFile

    with StoreFile(file) as found:
        saved = found.find(stream).alone()
    saved.to_file(out)
    print_text(f"written to {out}: {next(iter(saved.streams.values())).symbols_seen} symbols seen")


@store.command()
def forget(file: File, stream: Key) -> None:
    """Remove a stream: it begins anew if it comes back. A running service forgets by DELETE /v1/streams/KEY.

    Example: stepcell store forget state.db --stream press
    """
    from ..common.terminal import print_text
    from ..streams.store_file import StoreFile

    with StoreFile(file, to_write=True) as found:
        found.forget(stream)
        print_text(f"{file}: {stream!r} is forgotten, {counted(found.count(), 'stream')} left")


@store.command()
def backup(file: File, to: Annotated[Path, argument("File of the copy; an earlier copy there is replaced.")]) -> None:
    """Copy a store as it is at one moment, whole or not at all, also while the service runs.

    Example: stepcell store backup state.db state-monday.db
    """
    from ..common.terminal import print_text
    from ..streams.store_backup import back_up
    from ..streams.store_file import StoreFile

    with StoreFile(file) as found:
        back_up(found, to)
    with StoreFile(to) as copy:
        print_text(f"written to {to}: {counted(copy.count(), 'stream')}, {copy.bytes:,} bytes")


@store.command()
def vacuum(file: File) -> None:
    """Give the room of forgotten streams back to the disk.

    Example: stepcell store vacuum state.db
    """
    from ..common.terminal import print_text
    from ..streams.store_file import StoreFile

    with StoreFile(file, to_write=True) as found:
        before = found.bytes
        found.vacuum()
        print_text(f"{file}: {before:,} bytes before, {found.bytes:,} bytes now")


def _summary(found: StoreFile, streams: Iterable[StoredStream]) -> dict[str, Any]:
    return {
        "file": str(found.path), "schema": found.version, "model": found.fingerprint, "bytes": found.bytes,
        "in_use": found.in_use, "streams": [_fields(one) for one in streams], "sources": found.positions(),
        "outputs": {
            name: {"delivered": delivered, "position": position}
            for name, (delivered, position) in found.outputs().items()
        },
        "undelivered": found.undelivered(),
    }  # fmt: skip


def _fields(one: StoredStream) -> dict[str, Any]:
    """Return a stream in a list, as JSON."""
    fields: dict[str, Any] = {"stream": one.key}
    if one.saved is None:
        return {**fields, "error": one.problem}
    return {
        **fields, "seen": one.saved.streams[one.key].symbols_seen, "next_seq": one.note.get("next_seq"),
        "open": one.note.get("open") is True, "used": _moment(one.used),
    }  # fmt: skip


def _details(one: StoredStream) -> dict[str, Any]:
    """Return a stream with its last answer and its state, as JSON."""
    if one.saved is None:
        return _fields(one)
    state: Mapping[str, Any] = one.saved.streams[one.key].state
    return {
        **_fields(one), "model": one.saved.fingerprint, "answer": one.note.get("answer"),
        "state": {name: array[0].tolist() for name, array in state.items()},
    }  # fmt: skip


def _lines(one: StoredStream) -> list[str]:
    """Return a stream with its last answer and the beginning of its state, for people."""
    lines = [f"{name}: {value}" for name, value in _details(one).items() if name != "state" and value is not None]
    for name, array in () if one.saved is None else one.saved.streams[one.key].state.items():
        numbers = array.reshape(-1)[:_NUMBERS].tolist()
        more = ", ..." if array.size > _NUMBERS else ""
        lines.append(f"{name} {array.shape[1:]}: {', '.join(f'{number:.4g}' for number in numbers)}{more}")
    return lines


def _row(one: StoredStream) -> list[str]:

    key = one.key if one.key and one.key.isprintable() else printable_json(one.key)
    if one.saved is None:
        return [key, "damaged", "", _moment(one.used)]
    seq = one.note.get("next_seq")
    return [key, f"{one.saved.streams[one.key].symbols_seen:,}", "" if seq is None else str(seq), _moment(one.used)]


def _note(found: StoreFile) -> str:
    """Return what is said of a store under the table of its streams."""
    count, waiting = found.count(), found.undelivered()
    parts = [
        counted(count, "stream") + (f", the {_SHOWN} used last are shown" if count > _SHOWN else ""),
        f"{found.bytes:,} bytes", f"schema {found.version}", f"model {found.fingerprint[:12]}...",
    ]  # fmt: skip
    parts += [f"{counted(waiting, 'answer')} not delivered"] if waiting else []
    parts += ["in use by another process"] if found.in_use else []
    lines = ["; ".join(parts)]
    lines += [f"{name} goes on at {printable_json(position)}" for name, position in found.positions().items()]
    return "\n".join(lines)


def _moment(seconds: float) -> str:
    """Return a time in UTC; one that no calendar has, of a damaged row, as its number."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return str(seconds)
