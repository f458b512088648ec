"""What is broken on purpose in interpreters and stores: what a check is worth shows when something is wrong."""

from __future__ import annotations

from stepcell.runtime.common.errors import OutputError


def break_batch(monkeypatch, batch):
    """Let the interpreter of `batch` fail from now on; return a list that grows by one each time."""
    calls = []

    def broken():
        calls.append("called")
        raise RuntimeError("no memory")

    monkeypatch.setattr(batch, "_compute", broken)
    return calls


def break_store(monkeypatch, store, method, refused=lambda _: True):
    """Let `method` of a fleet's store fail for whatever `refused` says yes to; return what it was."""
    right = getattr(store, method)

    def failing(given):
        if refused(given):
            raise OutputError("the disk is gone")
        return right(given)

    monkeypatch.setattr(store, method, failing)
    return right


def replace_computation(monkeypatch, stream, compute):
    """Let `compute` be called, with what would have been, wherever the interpreter under `stream` computes."""
    backend = stream._seat.backend
    function, arguments = backend.call

    def instead(*_):
        compute(lambda: function(*arguments))

    place, _, _, *others = stream._tools
    monkeypatch.setattr(backend, "call", (instead, ()))
    monkeypatch.setattr(stream, "_tools", (place, instead, (), *others))
