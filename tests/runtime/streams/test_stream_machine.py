"""Streams in every order of calls: each is where the symbols it was fed lead, whatever the others do and what fails."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from support.faults import faulty_model
from support.models import DATA, WAYS

from stepcell.runtime import BackendError, UnknownSymbolError, load

SYMBOLS = "01234"
SYMBOL = st.sampled_from(SYMBOLS)
HISTORY = st.text(SYMBOLS, max_size=6)


class Plain:
    """The reference: the symbols since a reset are replayed by the pure step of the model."""

    def __init__(self, backend, path):
        self.model = load(path, backend=backend)
        self.after = lru_cache(None)(self._after)

    def _after(self, symbols):
        """The answer to the last of `symbols`, None where there are none, and the state after them."""
        if not symbols:
            return None, self.model.initial_state()
        return self.model.step(symbols[-1], self.after(symbols[:-1])[1])


class Tracked:
    """A stream, the symbols that lead to its state, how many it counts, and whether it knows its last answer."""

    def __init__(self, stream, symbols="", seen=0, answered=False):
        self.stream, self.symbols, self.seen, self.answered = stream, symbols, seen, answered

    def feed(self, symbols):
        self.symbols, self.seen = self.symbols + symbols, self.seen + len(symbols)
        self.answered = self.answered or bool(symbols)

    def place(self):
        return self.symbols, self.seen, self.answered

    def go(self, place):
        self.symbols, self.seen, self.answered = place


class Streams(RuleBasedStateMachine):
    """Some streams of one model."""

    streams = Bundle("streams")
    places = Bundle("places")
    plain: Plain
    model: object
    fault: object

    @initialize(target=streams)
    def first(self):
        self.all = []
        return self.track(self.model.stream())

    @rule(target=streams)
    def another(self):
        return self.track(self.model.stream())

    @rule(one=streams, symbol=SYMBOL, by_id=st.booleans())
    def step(self, one, symbol, by_id):
        found = one.stream.step_id(int(symbol)) if by_id else one.stream.step(symbol).values
        one.feed(symbol)
        assert np.array_equal(found, self.plain.after(one.symbols)[0])

    @rule(one=streams, symbol=SYMBOL)
    def peek(self, one, symbol):
        assert np.array_equal(one.stream.peek(symbol).values, self.plain.after(one.symbols + symbol)[0])

    @rule(one=streams, symbols=HISTORY)
    def absorb(self, one, symbols):
        found = one.stream.absorb(symbols)
        one.feed(symbols)
        assert (found is None) == (not symbols)
        assert found is None or np.array_equal(found.values, self.plain.after(one.symbols)[0])

    @rule(one=streams, symbols=HISTORY, scored=st.booleans())
    def run(self, one, symbols, scored):
        before, known = one.symbols, one.answered
        one.feed(symbols)
        if scored:
            bits = one.stream.score(symbols).bits
            for place, symbol in enumerate(symbols):
                if place or known:
                    expected = -np.log2(self.plain.after(before + symbols[:place])[0][int(symbol)])
                    assert abs(bits[place] - expected) <= 1e-5 * max(1, expected)
        else:
            expected = [self.plain.after(before + symbols[: end + 1])[0] for end in range(len(symbols))]
            assert np.array_equal(one.stream.run(symbols), np.reshape(expected, (-1, len(SYMBOLS))))

    @rule(one=streams, expect=st.booleans())
    def settle(self, one, expect):
        one.stream.settle(expect=expect)

    @rule(target=streams, one=streams)
    def fork(self, one):
        return self.track(one.stream.fork(), *one.place())

    @rule(one=streams)
    def reset(self, one):
        one.stream.reset()
        one.go(("", 0, False))

    @rule(one=streams, other=streams)
    def assign_the_state_of(self, one, other):
        one.stream.state = other.stream.state
        one.go((other.symbols, 0, False))

    @rule(target=places, one=streams)
    def snapshot(self, one):
        return one.stream.snapshot(), one.place()

    @rule(one=streams, there=places)
    def go_to(self, one, there):
        one.stream.go_to(there[0])
        one.go(there[1])

    @rule(one=streams, other=streams, in_a_file=st.booleans())
    def restore(self, one, other, in_a_file):
        if in_a_file:
            other.stream.save(self.path)
            one.stream.restore(self.path)
        else:
            one.stream.from_bytes(other.stream.to_bytes())
        one.go(other.place())

    @rule(one=streams, call=st.sampled_from(["step", "peek", "absorb", "run"]))
    def feed_what_is_no_symbol(self, one, call):
        with pytest.raises(UnknownSymbolError, match="has not moved"):
            getattr(one.stream, call)("x" if call in ("step", "peek") else "0x")

    @rule(
        one=streams,
        error=st.sampled_from([RuntimeError("no memory"), KeyboardInterrupt()]),
        call=st.sampled_from(["step", "step_id", "peek", "absorb", "run"]),
        symbol=SYMBOL,
    )
    def fail_in_the_middle(self, one, error, call, symbol):
        argument = {"step_id": int(symbol), "absorb": symbol + "0", "run": symbol + "0"}.get(call, symbol)
        seen = BackendError if isinstance(error, Exception) else KeyboardInterrupt
        before = self.fault.calls
        with self.fault.raising(error):
            try:
                getattr(one.stream, call)(argument)
            except seen:
                one.answered = one.answered and call not in ("step", "step_id")
            else:  # a low-latency stream had the answer already, and computed nothing
                assert self.fault.calls == before
                one.feed(symbol)

    @rule(one=streams)
    def check(self, one):
        """Compare a stream with what the plain step says of its symbols."""
        answer, state = self.plain.after(one.symbols)
        assert one.stream.symbols_seen == one.seen
        found = one.stream.state
        assert found.keys() == state.keys()
        assert all(np.array_equal(found[name], array) for name, array in state.items())
        prediction = one.stream.prediction
        assert (prediction is not None) == one.answered
        assert prediction is None or np.array_equal(prediction.values, answer)

    def track(self, *stream_and_place):
        self.all.append(Tracked(*stream_and_place))
        return self.all[-1]

    def teardown(self):
        for one in self.all:
            self.check(one)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_a_stream_is_where_its_symbols_lead_whatever_is_called_and_whatever_fails(way, tmp_path):
    backend, name, *low_latency = way
    model, fault = faulty_model(backend, DATA / name, *low_latency)
    plain = Plain(backend, DATA / name)

    class OfThisWay(Streams):
        path = tmp_path / "stream.state"

    OfThisWay.model, OfThisWay.fault, OfThisWay.plain = model, fault, plain
    run_state_machine_as_test(OfThisWay, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
