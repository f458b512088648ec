"""Generation: a stream is fed its own predictions, drawn or searched."""

from __future__ import annotations

from collections import Counter
from itertools import islice, product
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA, changed_memory, path_of

from stepcell.runtime import NotFiniteError, OptionError, Snapshot, TargetError, UnknownSymbolError, load
from stepcell.runtime.tasks.generate import Sampling

DISTRIBUTION = np.array([0.1, 0.0, 0.4, 0.2, 0.3])


@pytest.fixture(scope="module")
def onnx():
    return load(DATA / "memory.onnx")


def frequencies(sampling, distribution=DISTRIBUTION, count=4000):
    random = np.random.default_rng(0)
    drawn = Counter(sampling.draw(distribution, random) for _ in range(count))
    return np.array([drawn[id] / count for id in range(len(distribution))])


def test_the_same_seed_gives_the_same_symbols(model):
    texts = ["".join(model.stream().generate(60, prompt="3", seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) == 60


def test_a_greedy_stream_says_what_it_has_learned(model):
    assert "".join(model.stream().generate(4, prompt="30", greedy=True)) == "1230"
    assert "".join(model.stream().generate(3, prompt="40", greedy=True)) == "124"


def test_what_was_given_out_has_been_fed(model):
    stream, other = model.stream(), model.stream()
    given = list(stream.generate(10, prompt="30", seed=4))
    other.absorb(["3", "0", *given])
    assert stream.to_bytes() == other.to_bytes()
    partly = model.stream()
    some = list(islice(partly.generate(10, prompt="30", seed=4), 3))
    assert some == given[:3]
    assert partly.symbols_seen == 5


def test_nothing_moves_before_the_first_symbol_is_asked_for(model):
    stream = model.stream()
    symbols = stream.generate(5, prompt="3", seed=1)
    assert stream.symbols_seen == 0
    next(symbols)
    assert stream.symbols_seen == 2


def test_a_generation_goes_on_from_wherever_the_stream_is(model):
    stream = model.stream()
    stream.absorb("40")
    stream.peek("3")
    assert "".join(stream.generate(3, greedy=True)) == "124"
    steered = model.stream()
    symbols = steered.generate(3, prompt="30", greedy=True)
    assert next(symbols) == "1"
    steered.reset()
    steered.absorb("4012")
    assert next(symbols) == "4"


def test_the_stop_symbol_is_the_last_one(model):
    assert "".join(model.stream().generate(50, prompt="30", greedy=True, stop="3")) == "123"


def test_draws_follow_the_distribution():
    assert frequencies(Sampling()) == pytest.approx(DISTRIBUTION, abs=0.03)
    assert frequencies(Sampling(), DISTRIBUTION * 7) == pytest.approx(DISTRIBUTION, abs=0.03)


def test_temperature_sharpens_and_flattens():
    for temperature in (0.5, 2.0):
        powers = DISTRIBUTION ** (1 / temperature)
        assert frequencies(Sampling(temperature)) == pytest.approx(powers / powers.sum(), abs=0.03)
    assert frequencies(Sampling(1e-300), count=50).tolist() == [0, 0, 1, 0, 0]
    assert frequencies(Sampling(1e300)) == pytest.approx([0.25, 0, 0.25, 0.25, 0.25], abs=0.03)


def test_top_k_and_top_p_cut_the_unlikely():
    assert frequencies(Sampling(top_k=2)) == pytest.approx(np.array([0, 0, 4, 0, 3]) / 7, abs=0.03)
    assert frequencies(Sampling(top_k=9)) == pytest.approx(DISTRIBUTION, abs=0.03)
    assert frequencies(Sampling(top_p=0.69)) == pytest.approx(np.array([0, 0, 4, 0, 3]) / 7, abs=0.03)
    assert frequencies(Sampling(top_p=0.71)) == pytest.approx(np.array([0, 0, 4, 2, 3]) / 9, abs=0.03)
    assert frequencies(Sampling(top_p=1e-9), count=50).tolist() == [0, 0, 1, 0, 0]
    assert frequencies(Sampling(top_p=1.0)) == pytest.approx(DISTRIBUTION, abs=0.03)
    # Of the two that top_k leaves, the likelier has 4/7.
    assert frequencies(Sampling(top_k=2, top_p=0.5)) == pytest.approx([0, 0, 1, 0, 0])
    assert frequencies(Sampling(top_k=2, top_p=0.6)) == pytest.approx(np.array([0, 0, 4, 0, 3]) / 7, abs=0.03)


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8).filter(lambda weights: sum(weights) > 0),
    st.floats(1e-3, 1e3),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(1e-6, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_whatever_is_drawn_was_possible_and_not_cut(weights, temperature, top_k, top_p, number):
    class Fixed:
        def random(self):
            return number

    distribution = np.array(weights) / sum(weights)
    id = Sampling(temperature, top_k, top_p).draw(distribution, Fixed())
    rank = int((distribution > distribution[id]).sum() + (distribution[:id] == distribution[id]).sum()) + 1
    assert distribution[id] > 0
    assert rank <= (top_k or len(weights))


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"temperature": 0.0}, ["temperature is 0.0", "greedy"]),
        ({"temperature": float("nan"), "top_k": 0, "top_p": 1.5}, ["temperature is nan", "top_k is 0", "top_p is 1.5"]),
        ({"top_p": 0.0}, ["top_p is 0.0"]),
        ({"greedy": True, "temperature": 0.5}, ["leave out temperature"]),
    ],
)
def test_options_that_make_no_sense_are_all_named(onnx, options, problems):
    with pytest.raises(OptionError) as caught:
        onnx.stream().generate(3, prompt="3", **options)
    assert all(problem in str(caught.value) for problem in problems)


def test_what_cannot_be_generated_is_refused_at_the_call_and_nothing_moves(onnx):
    stream = onnx.stream()
    with pytest.raises(OptionError, match="count is -1.*stop symbol 'x'.*give it a prompt.*has not moved"):
        stream.generate(-1, stop="x")
    with pytest.raises(OptionError, match="width is 0"):
        stream.beam(3, 0, prompt="3")
    for call in (lambda: stream.generate(3, prompt="3x"), lambda: stream.beam(3, 2, prompt="3x")):
        with pytest.raises(UnknownSymbolError, match="number 2 of 2"):
            call()
    assert stream.symbols_seen == 0
    assert list(stream.generate(0, prompt="3")) == []


def test_a_model_that_answers_with_labels_is_refused():
    stream = load(path_of("labelled", "onnx")).stream()
    for call in (lambda: stream.generate(3, prompt="a"), lambda: stream.beam(3, 2, prompt="a")):
        with pytest.raises(TargetError, match="answers with labels .* nothing can be fed back"):
            call()


def test_a_sigmoid_output_is_drawn_from_by_shares(tmp_path):
    sigmoid = load(changed_memory(tmp_path / "sigmoid.onnx", output="sigmoid"))
    expected = "".join(load(DATA / "memory.onnx").stream().generate(40, prompt="3", seed=3))
    stream = sigmoid.stream()
    assert "".join(stream.generate(40, prompt="3", seed=3)) == expected
    halved = stream.snapshot().answers["probabilities"] / 2  # no softmax any more: the shares of the sum stay
    stream.go_to(Snapshot(stream.state, stream.symbols_seen, {"probabilities": halved}))
    (best, *_) = stream.beam(1, 1)
    assert best.log_probability == pytest.approx(log(halved.max() / halved.astype(float).sum()))


def test_an_answer_that_is_no_distribution_ends_the_generation_where_it_is(onnx):
    stream = onnx.stream()
    stream.absorb("30")
    here = stream.snapshot()
    for spoilt in (np.full(5, np.nan, np.float32), np.zeros(5, np.float32)):
        stream.go_to(Snapshot(here.state, here.symbols_seen, {"probabilities": spoilt}))
        with pytest.raises(NotFiniteError, match="no distribution"):
            next(stream.generate(3, seed=1))
        with pytest.raises(NotFiniteError, match="no distribution"):
            stream.beam(3, 2)
        assert stream.symbols_seen == 2


def total(model, prompt, symbols):
    """Log-probability of `symbols` after `prompt`."""
    stream = model.stream()
    stream.absorb(prompt)
    return float(stream.score(symbols).log_probabilities.sum())


def test_a_beam_wide_enough_finds_the_likeliest_of_all_continuations(onnx):
    ways = sorted(product("01234", repeat=3), key=lambda symbols: -total(onnx, "34", symbols))[:6]
    found = onnx.stream().beam(3, 125, prompt="34")
    assert [one.symbols for one in found[:6]] == ways
    assert found[0].log_probability == pytest.approx(total(onnx, "34", ways[0]), abs=1e-9)


def test_a_beam_of_one_is_greedy(model):
    (only,) = model.stream().beam(12, 1, prompt="4")
    assert only.symbols == tuple(model.stream().generate(12, prompt="4", greedy=True))


def test_a_beam_moves_no_stream_and_hands_out_one_that_has_heard_it_all(model):
    stream = model.stream()
    stream.absorb("40")
    before = stream.to_bytes()
    continuations = stream.beam(3, 4, prompt="1")
    assert stream.to_bytes() == before
    assert len({one.symbols for one in continuations}) == 4
    logarithms = [one.log_probability for one in continuations]
    assert logarithms == sorted(logarithms, reverse=True)
    for one in continuations:
        other = model.stream()
        other.absorb(["4", "0", "1", *one.symbols])
        assert one.stream.to_bytes() == other.to_bytes()


def test_continuations_that_have_come_to_the_stop_symbol_stay_in_the_beam(onnx):
    found = onnx.stream().beam(6, 5, prompt="30", stop="3")
    assert found[0].symbols == ("1", "2", "3")
    assert all("3" not in one.symbols[:-1] for one in found)
    assert found[0].log_probability == pytest.approx(total(onnx, "30", "123"), abs=1e-9)
    (ended,) = onnx.stream().beam(1000, 1, prompt="30", stop="3")
    assert ended.symbols == ("1", "2", "3")


def test_a_stream_that_is_reset_between_its_symbols_says_so(onnx):
    stream = onnx.stream()
    coming = stream.generate(5, prompt="3", seed=0)
    next(coming)
    stream.reset()
    with pytest.raises(OptionError, match="has no prediction any more: step it first"):
        next(coming)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1.5}, {"top_k": 1.5}, {"top_k": 0}])
def test_numbers_that_are_not_whole_or_too_low_are_refused_by_name(onnx, wrong):
    stream = onnx.stream()
    with pytest.raises(OptionError, match=f"{next(iter(wrong))} is .* it must be a whole number and at least"):
        stream.generate(3, prompt="3", **wrong)
    assert stream.symbols_seen == 0
