"""What can be asked about a service while it runs. All of it is called in the thread of the service."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...common.errors import DamagedStateError, NoProbabilitiesError
from ...tasks.anomaly import Threshold
from .service import Service
from .status import COMMIT_BOUNDS

if TYPE_CHECKING:
    from ..answer import Answer

_MOST_WATERMARKS = 10_000
_BARS = 8  # likeliest symbols


def stream_of(service: Service, stream: str) -> dict[str, Any] | None:
    """Return where a stream is, as JSON, with its likeliest symbols if it was stepped lately; None: it is not known.

    Raises:
        OutputError, DamagedStateError: As `SqliteStore.get` does.
    """
    engine = service.engine
    found = engine.streams.known(stream)
    if found is None:
        return None
    snapshot, note = found
    return {
        "stream": stream,
        "seq": None if note.next_seq is None else note.next_seq - 1,
        "symbols_seen": snapshot.symbols_seen,
        "open": note.is_open,
        "answer": None if note.answer is None else json.loads(note.answer),
        "next": _likeliest(engine.last_answer(stream)),
        "state": {name: values[0].tolist() for name, values in snapshot.state.items()},
        "model": engine.model.manifest.fingerprint,
    }


def streams_of(service: Service, limit: int, after: str | None) -> dict[str, Any]:
    """Return the streams whose names follow `after`, in the order of their names.

    Args:
        service: The service.
        limit: How many at most.
        after: Name of a stream; None: begin with the first.

    Raises:
        OutputError: The store cannot be read.
    """
    found = [
        {"stream": key, "symbols_seen": seen, "used": round(used, 3)}
        for key, seen, used in service.store.some_streams(limit, after)
    ]
    return {"streams": found, "next": found[-1]["stream"] if len(found) == limit else None}


def watermarks_of(service: Service) -> dict[str, int]:
    """Return the last number of each stream that has numbers; of the first 10,000 streams of the store.

    Raises:
        OutputError: The store cannot be read.
    """
    found = {}
    for key, *_ in service.store.some_streams(_MOST_WATERMARKS, None):
        with suppress(DamagedStateError):  # said when a record of the stream comes
            kept = service.store.find(key)
            number = None if kept is None else kept[1].get("serve", {}).get("next_seq")
            if number is not None:
                found[key] = number - 1
    return found


def status_of(service: Service) -> dict[str, Any]:
    """Return the counts of a service since it was started, as JSON.

    Raises:
        OutputError: The store cannot be read.
    """
    status, engine = service.status, service.engine
    records = [
        {"source": source, "outcome": outcome, "code": code, "count": count}
        for (source, outcome, code), count in sorted(status.records.items())
    ]
    return {
        "model": engine.model.file.name,
        "fingerprint": engine.model.manifest.fingerprint,
        "ready": status.ready,
        "reason": status.reason,
        "steps": engine.steps,
        "records": records,
        "errors": sum(each["count"] for each in records if each["code"]),
        "groups": status.groups,
        "commit_seconds": status.commit_seconds,
        "commit_bounds": list(COMMIT_BOUNDS),
        "commit_buckets": list(status.commit_buckets),
        "last_commit": status.last_commit,
        "last_commit_age": None if status.last_commit is None else max(0.0, time.time() - status.last_commit),
        "undelivered": status.undelivered,
        "handover": status.handover if service.handover is None else service.handover.status(),
        "reloads": dict(status.reloads),
        "forgotten": status.forgotten,
        "waiting": service.inbox.waiting,
        "streams_known": service.store.count(),
        "streams_in_memory": engine.streams.in_memory,
        "threshold": _bits(service),
    }


def _bits(service: Service) -> float | None:
    """Return the surprise above which a symbol is an alert; None: there is no such thing."""
    limit, below = service.engine.threshold, service.options.alert_below
    if isinstance(limit, Threshold):
        return limit.symbol_bits
    return -math.log2(below) if below else None


def _likeliest(answer: Answer | None) -> list[tuple[str, float]] | None:
    if answer is None:
        return None
    if answer.events is not None:
        return answer.events[0]
    try:
        return None if answer.prediction is None else answer.prediction.top(_BARS)
    except NoProbabilitiesError:
        return None
