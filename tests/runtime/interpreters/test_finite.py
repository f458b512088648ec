"""What is not a finite number is refused by name, and the state before it is still there."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from support.faults import Fault, with_fault
from support.models import DATA, ENGINE, WAYS, changed_memory, path_of

from stepcell.runtime import GoldenMismatchError, NotFiniteError, Snapshot, Stream, load, read_model_file
from stepcell.runtime.format.manifest import Golden, GoldenRun
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.interpreters.finite import outputs_to_check
from stepcell.runtime.interpreters.registry import open_backend, open_public_backend
from stepcell.runtime.streams.model import Model
from stepcell.runtime.streams.pool import InterpreterPool

BACKENDS = [("litert", "tflite"), ("tflite", "tflite"), ("numpy", "tflite"), ("onnxruntime", "onnx"), ("numpy", "onnx")]
BACKENDS += [(backend, name.partition(".")[2]) for backend, name in ENGINE]


# (Activation of the output, format) -> a file whose state doubles at each step: after 128 of them it is infinite.
GROWING = {
    (activation, format): path_of(f"growing_{activation}", format)
    for activation in ("softmax", "sigmoid")
    for format in ("tflite", "onnx")
}


def step_to_the_end(stream):
    """Step until that is refused; return the state before it."""
    for _ in range(200):
        before = stream.state
        try:
            stream.step("1")
        except NotFiniteError:
            return before
    raise AssertionError("nothing was refused")


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")  # numpy's own
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize(("backend", "format"), BACKENDS)
def test_a_state_that_grows_beyond_all_numbers_is_refused_where_it_was_the_last_one(activation, backend, format):
    stream = load(GROWING[activation, format], backend=backend, golden=False).stream()
    before = step_to_the_end(stream)
    seen = stream.symbols_seen
    assert 80 < seen < 140  # XNNPACK finds no sigmoid of -1e28
    with pytest.raises(
        NotFiniteError, match=r"answered with what is no finite number.* has not moved.* reset the stream"
    ):
        stream.step("1")
    calls = (
        lambda: stream.step("0"),
        lambda: stream.step_id(2),
        lambda: stream.peek("1"),
        lambda: stream.absorb("0120"),
        lambda: stream.run("0120"),
        lambda: stream.score("0120"),
        lambda: list(stream.generate(5, prompt="1")),
    )
    for call in calls:
        with pytest.raises(NotFiniteError):
            call()
        assert same(stream.state, before)
        assert stream.symbols_seen == seen
    assert all(np.isfinite(array).all() for array in before.values())
    fresh = load(GROWING[activation, format], backend=backend, golden=False).stream()
    stream.reset()
    assert np.array_equal(stream.run("0121"), fresh.run("0121"))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_other_ways_to_step_a_tflite_file_refuse_it_too(activation):
    path = GROWING[activation, "tflite"]
    file = read_model_file(path)
    by_runner = Model(InterpreterPool(file, "litert", open_public_backend("litert", file))).stream()
    later = [load(path, backend=name, golden=False).stream(low_latency=True) for name, _ in ENGINE[:1]]
    for stream in (by_runner, *later):
        before = step_to_the_end(stream)
        for call, symbols in (
            (stream.peek, "1"),
            (stream.absorb, "01"),
            (stream.run, "01"),
            (stream.step, "1"),
            (stream.step_id, 1),
        ):
            with pytest.raises(NotFiniteError):
                call(symbols)
            stream.settle()
            assert same(stream.state, before)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")  # numpy's own
def test_two_states_are_both_where_they_were():
    for backend in ("litert", "numpy", *(name for name, _ in ENGINE[:1])):
        stream = load(path_of("growing_two"), backend=backend, golden=False).stream()
        before = step_to_the_end(stream)
        assert before.keys() == {"h0", "h1"}
        assert same(stream.state, before)


def test_golden_answers_that_are_not_finite_are_a_mismatch(tmp_path):
    run = GoldenRun("initial", (1,) * 140, ((1.0,),) * 140)
    golden = Golden(1.0, (0,), (run,))
    path = changed_memory(tmp_path / "golden.onnx", of="growing_softmax", golden=golden)
    with pytest.raises(GoldenMismatchError, match=r"at step 1\d\d of the golden sequence a probability is off by nan"):
        load(path)


def test_only_where_it_tells_nothing_of_the_rest_more_than_one_number_is_looked_at(model):
    assert outputs_to_check(model.manifest) == ()  # an LSTM of bounded activations and a softmax
    assert outputs_to_check(read_model_file(GROWING["softmax", "onnx"]).manifest) == ("next_h0",)
    assert outputs_to_check(read_model_file(GROWING["sigmoid", "onnx"]).manifest) == ("probabilities", "next_h0")


BIAS = np.arange(1, 8, dtype="<f4") / 7


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy says so, too
@pytest.mark.parametrize(("backend", "format"), BACKENDS)
def test_the_first_number_of_a_softmax_tells_of_all_of_them(backend, format, tmp_path):
    """Wherever it is taken of something that is not finite: the check of a step rests on this."""
    file = read_model_file(path_of("biased", format))
    for place, wrong in product((0, 1, 6), (np.nan, np.inf)):
        spoilt = BIAS.copy()
        spoilt[place] = wrong
        payload = file.payload.replace(BIAS.tobytes(), spoilt.tobytes())
        assert payload != file.payload
        path = tmp_path / f"spoilt.{format}"
        path.write_bytes(pack(payload, file.manifest, format))
        opened = open_backend(backend, read_model_file(path))
        with pytest.raises(NotFiniteError):
            opened.step(3)
        assert np.isnan(opened.answer()).all()


@pytest.mark.parametrize("way", [way for way in WAYS if way[0] not in ("onnxruntime", "native")], ids="-".join)
@pytest.mark.parametrize("by_id", [False, True])
def test_a_step_in_place_looks_at_that_number(way, by_id):
    backend, name = way
    opened = open_backend(backend, read_model_file(DATA / name))
    fault = Fault()
    pool = InterpreterPool(read_model_file(DATA / name), backend, with_fault(opened, fault))
    start = Snapshot(load(DATA / name).initial_state())
    stream = Stream(pool, start)
    for symbol in "33":
        stream.step(symbol)
    with fault.doing(lambda: opened.answer().fill(np.nan)), pytest.raises(NotFiniteError):
        stream.step_id(3) if by_id else stream.step("3")
    assert stream.symbols_seen == 2
    assert np.isfinite(stream.state["h0"]).all()
