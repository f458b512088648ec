"""The log-mel front end equals tf.signal, however the samples are cut, and finds tones in the bands of librosa."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA

from stepcell.runtime import FeatureMismatchError, LogMel, OptionError

FRONT_ENDS = {
    "energies": LogMel(),
    "magnitudes": LogMel(frame_length=480, hop=320, fft_size=1024, bands=20, low=60, high=7000, power=1),
}


@pytest.fixture(scope="module")
def known():
    with np.load(DATA / "log_mel.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_frames_are_those_of_tf_signal(name, known):
    frames, carried = FRONT_ENDS[name].frames(known["samples"])
    assert frames.shape == known[name].shape
    assert np.abs(frames - known[name]).max() < 1e-5
    assert len(carried) == len(known["samples"]) - len(frames) * FRONT_ENDS[name].hop


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2400), max_size=8), st.sampled_from(sorted(FRONT_ENDS)))
def test_frames_do_not_depend_on_how_the_samples_are_cut(cuts, name):
    with np.load(DATA / "log_mel.npz") as arrays:
        samples, whole = arrays["samples"], arrays[name]
    front_end, parts = FRONT_ENDS[name], []
    state = front_end.initial_state()
    for part in np.split(samples, sorted(cuts)):
        frames, state = front_end.frames(part, state)
        parts.append(frames)
        assert len(state) < front_end.frame_length
    assert np.abs(np.concatenate(parts) - whole).max() < 1e-5


def test_the_state_is_not_changed_by_a_call(known):
    front_end = LogMel()
    _, state = front_end.frames(known["samples"][:700])
    before = state.copy()
    one, _ = front_end.frames(known["samples"][700:], state)
    other, _ = front_end.frames(known["samples"][700:], state)
    assert np.array_equal(state, before)
    assert np.array_equal(one, other)


def test_floats_are_the_samples_of_16_bits_divided(known):
    of_int16, _ = LogMel().frames(known["samples"])
    of_floats, _ = LogMel().frames(known["samples"] / 32768)
    assert np.array_equal(of_int16, of_floats)


def test_a_tone_is_loudest_in_the_slaney_band_that_librosa_has_there():
    # librosa.mel_frequencies(n_mels=40): the numbers of its documentation.
    centres = {5: 426.586, 11: 938.49, 12: 1024.856, 20: 2071.84, 30: 4994.285, 38: 10096.408}
    front_end = LogMel(22_050, 8192, 8192, bands=38, low=0, scale="slaney")
    for band, hertz in centres.items():
        tone = np.sin(2 * np.pi * hertz / 22_050 * np.arange(8192))
        (frame,), _ = front_end.frames(tone)
        assert int(frame.argmax()) == band - 1


def test_silence_is_the_logarithm_of_the_floor():
    frames, _ = LogMel(floor=1e-3).frames(np.zeros(400))
    assert np.allclose(frames, np.log(1e-3))


def test_options_that_do_not_fit_are_named_at_once():
    with pytest.raises(OptionError) as caught:
        LogMel(frame_length=100, hop=200, fft_size=64, high=9000, scale="bark", floor=0)
    for problem in ("hop is 200", "fft_size is 64", "high are 20 and 9000", "'bark'", "floor are 2 and 0"):
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.zeros(4, np.int32), "type int32"),
        (np.array([0.0, np.inf]), "not finite"),
    ],
)
def test_samples_that_are_none_are_refused(samples, problem):
    with pytest.raises(FeatureMismatchError, match=problem):
        LogMel().frames(samples)
