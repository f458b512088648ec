"""Sound as numbers: 16-bit WAV of one channel."""

from __future__ import annotations

import struct
import wave
from io import BytesIO

import numpy as np

from ..common.arrays import Float32
from ..common.errors import InputError

_FULL_SCALE = 32_768.0  # of 16 bits: samples are from -1 to 1


def read_wav(content: bytes, name: str, rate: int) -> Float32:
    """Return the samples of a WAV file of one channel and 16 bits, float32 of shape (N,), from -1 to 1.

    Args:
        content: The bytes of the file.
        name: Its name, for messages.
        rate: The samples per second that it must have.

    Raises:
        InputError: It is no WAV file, or has another rate, width or number of channels; the message names both.
    """
    try:
        with wave.open(BytesIO(content)) as file:
            channels, width, found = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError, struct.error, ValueError, OverflowError, MemoryError) as error:
        raise InputError(
            f"{name} is no WAV file of whole numbers ({error or 'it is cut short'}). Wanted are 16 bits, 1 channel, "
            f"{rate:,} samples per second: ffmpeg -i {name} -ac 1 -ar {rate} -c:a pcm_s16le new.wav"
        ) from None
    if (channels, width, found) != (1, 2, rate):
        raise InputError(
            f"{name} has {8 * width} bits, {channels} channel{'s' * (channels != 1)}, {found:,} samples per second; "
            f"wanted are 16 bits, 1 channel, {rate:,} samples per second. Convert it: "
            f"ffmpeg -i {name} -ac 1 -ar {rate} -c:a pcm_s16le new.wav"
        )
    samples: Float32 = np.frombuffer(frames[: len(frames) // 2 * 2], "<i2").astype(np.float32) / np.float32(_FULL_SCALE)
    return samples


def write_wav(samples: Float32, rate: int) -> bytes:
    """Return samples from -1 to 1, shape (N,), as a WAV file of 16 bits and one channel; larger ones are cut off."""
    numbers = np.rint(np.asarray(samples, np.float32) * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
    content = BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numbers.astype("<i2").tobytes())
    return content.getvalue()
