"""WAV files: what is written comes back, and all others are refused with what was found and what is wanted."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import InputError
from stepcell.runtime.data.audio import read_wav, write_wav


def wav(channels=1, width=2, rate=16_000, frames=b"\0\0" * 8):
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)
    return content.getvalue()


@given(st.lists(st.integers(-32_768, 32_767), max_size=50))
def test_samples_come_back(numbers):
    samples = np.array(numbers, np.float32) / 32_768
    assert np.array_equal(read_wav(write_wav(samples, 8_000), "x.wav", 8_000), samples)


def test_larger_samples_are_cut_off():
    content = write_wav(np.array([2.0, -2.0], np.float32), 8_000)
    assert read_wav(content, "x.wav", 8_000).tolist() == [32_767 / 32_768, -1]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (wav(channels=2), "16 bits, 2 channels, 16,000 samples per second"),
        (wav(width=1), "8 bits, 1 channel, 16,000"),
        (wav(rate=44_100), "16 bits, 1 channel, 44,100"),
    ],
)
def test_another_rate_width_or_number_of_channels_is_refused_with_both(content, found):
    with pytest.raises(InputError) as caught:
        read_wav(content, "x.wav", 16_000)
    assert found in str(caught.value)
    assert "wanted are 16 bits, 1 channel, 16,000 samples per second" in str(caught.value)
    assert "ffmpeg -i x.wav" in str(caught.value)


@given(st.binary(max_size=80) | st.integers(0, 43).map(lambda size: wav()[:size]))
def test_other_bytes_are_refused_cleanly(content):
    with pytest.raises(InputError, match="no WAV file of whole numbers"):
        read_wav(content, "x.wav", 16_000)
