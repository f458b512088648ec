"""Log-mel spectra of a stream of audio samples, in chunks of any length, with numpy.

    front_end = LogMel(sample_rate=16_000, frame_length=400, hop=160, bands=40)
    frames, carried = front_end.frames(chunk, carried)      # (N, 40), and the samples that the next frames need

A frame is the logarithm of the energy in `bands` triangular bands of the spectrum of `frame_length` samples; the next
one begins `hop` samples later. The state is explicit: the samples that are still needed are returned, and are passed in
with the next chunk. The frames do not depend on how the samples were cut into chunks.

With scale="htk" they equal `tf.signal.stft(samples, frame_length, hop, fft_size)`, the power of its magnitudes, times
`tf.signal.linear_to_mel_weight_matrix(bands, ...)`, with a floor, in `tf.math.log`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..common.arrays import AnyArray, Float32, Floats
from ..common.errors import FeatureMismatchError, OptionError
from ..common.lazy import computed_once

SCALES = ("htk", "slaney")
_INT16 = 32_768.0  # a sample of 16 bits is divided by it


@dataclass(frozen=True)
class LogMel:
    """A front end that turns audio samples into log-mel frames.

    Attributes:
        sample_rate: Samples in a second.
        frame_length: Samples in a frame, F.
        hop: Samples from one frame to the next, at most F.
        fft_size: Size of the Fourier transform, F or more; the frame is filled with zeros at its end. None: the power
            of 2 from F on.
        bands: How many numbers a frame has.
        low: Lowest frequency of the first band in Hz.
        high: Highest frequency of the last band in Hz; None: half the sample rate.
        scale: "htk": mel is 1127 ln(1 + f / 700), and the bands are triangles over mel with height 1, as in tf.signal.
            "slaney": linear up to 1000 Hz and logarithmic above, and the bands are triangles over Hz with equal areas,
            as in librosa.
        power: 2.0 for energies, 1.0 for magnitudes.
        floor: The smallest number of which the logarithm is taken.

    The window is the periodic Hann window, 0.5 - 0.5 cos(2 pi n / F).
    """

    sample_rate: int = 16_000
    frame_length: int = 400
    hop: int = 160
    fft_size: int | None = None
    bands: int = 40
    low: float = 20.0
    high: float | None = None
    scale: str = "htk"
    power: float = 2.0
    floor: float = 1e-6

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            OptionError: One of them does not fit; all of those are named.
        """
        sizes = {"sample_rate": self.sample_rate, "frame_length": self.frame_length, "hop": self.hop,
                 "bands": self.bands}  # fmt: skip
        problems = [f"{name} is {size}, not 1 or more" for name, size in sizes.items() if size < 1]
        if self.hop > self.frame_length:
            problems.append(f"hop is {self.hop}, more than the {self.frame_length} samples of a frame")
        if self.fft_size is not None and self.fft_size < self.frame_length:
            problems.append(f"fft_size is {self.fft_size}, less than the {self.frame_length} samples of a frame")
        if not 0 <= self.low < self._high <= self.sample_rate / 2:
            problems.append(f"low and high are {self.low:g} and {self._high:g} Hz; "
                            f"give 0 <= low < high <= {self.sample_rate / 2:g}")  # fmt: skip
        if self.scale not in SCALES:
            problems.append(f"scale is {self.scale!r}, not one of {', '.join(SCALES)}")
        if not (self.power > 0 and self.floor > 0):
            problems.append(f"power and floor are {self.power:g} and {self.floor:g}; both are above 0")
        if problems:
            raise OptionError(f"LogMel cannot be made: {'; '.join(problems)}.")

    def initial_state(self) -> Float32:
        """Return the state before the first sample: no samples, float32 of shape (0,)."""
        return np.zeros(0, np.float32)

    def frames(self, samples: ArrayLike, state: ArrayLike | None = None) -> tuple[Float32, Float32]:
        """Return the frames that `samples` complete, and the samples that the next frames need.

        Args:
            samples: Samples of any number, shape (S,): floats from -1 to 1, or int16, which are divided by 32768.
            state: What the last call returned; None: the state before the first sample.

        Returns:
            Frames, float32 of shape (N, bands), N is 0 or more; and the next state, float32 of shape (F - 1,) at most.

        Raises:
            FeatureMismatchError: `samples` are not one row of finite numbers. Nothing has moved: the state given is
                still the state.
        """
        carried = self.initial_state() if state is None else np.asarray(state, np.float32)
        joined = np.concatenate([carried, _as_floats(samples)])
        count = max(0, (len(joined) - self.frame_length) // self.hop + 1)
        if not count:
            return np.zeros((0, self.bands), np.float32), joined
        cut = np.lib.stride_tricks.sliding_window_view(joined, self.frame_length)[:: self.hop][:count]
        spectrum = np.abs(np.fft.rfft(cut * self._window, self._fft_size, axis=1)) ** self.power
        energies = np.maximum(spectrum @ self._filters, self.floor)
        return np.log(energies).astype(np.float32), joined[count * self.hop :].copy()

    @property
    def _high(self) -> float:
        return self.sample_rate / 2 if self.high is None else self.high

    @property
    def _fft_size(self) -> int:
        return self.fft_size or 1 << (self.frame_length - 1).bit_length()

    @computed_once
    def _window(self) -> Floats:
        window: Floats = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.frame_length) / self.frame_length)
        return window

    @computed_once
    def _filters(self) -> Floats:
        """Return the bands, float64 of shape (fft_size / 2 + 1, bands)."""
        frequencies = np.arange(self._fft_size // 2 + 1) * (self.sample_rate / self._fft_size)
        to_mel = _htk_mel if self.scale == "htk" else _slaney_mel
        edges = np.linspace(to_mel(self.low), to_mel(self._high), self.bands + 2)
        if self.scale == "htk":
            places = to_mel(frequencies)
        else:
            places, edges = frequencies, _slaney_hertz(edges)
        left, centre, right = edges[:-2], edges[1:-1], edges[2:]
        rising = (places[:, None] - left) / (centre - left)
        falling = (right - places[:, None]) / (right - centre)
        bands: Floats = np.maximum(0.0, np.minimum(rising, falling))
        if self.scale == "htk":
            bands[0] = 0.0  # the constant part of the signal is no sound
            return bands
        bands *= 2.0 / (right - left)
        return bands


def _as_floats(samples: ArrayLike) -> Float32:
    given: AnyArray = np.asarray(samples)
    if given.ndim != 1 or given.dtype.kind not in "fi" or (given.dtype.kind == "i" and given.dtype != np.int16):
        raise FeatureMismatchError(
            f"The samples have the shape {given.shape} and the type {given.dtype}; give one row of floats or int16. "
            "Nothing has moved."
        )
    floats: Float32 = given.astype(np.float32) / np.float32(_INT16 if given.dtype == np.int16 else 1.0)
    if not np.isfinite(floats).all():
        raise FeatureMismatchError("A sample is not finite. Nothing has moved.")
    return floats


def _htk_mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


# Slaney 1998, Auditory Toolbox: 200 / 3 Hz a mel up to 1000 Hz, then 27 mel for a factor of 6.4.
_BREAK, _HERTZ_PER_MEL, _LOG_STEP = 1000.0, 200.0 / 3.0, np.log(6.4) / 27.0


def _slaney_mel(hertz: Any) -> Any:
    above = np.log(np.maximum(hertz, _BREAK) / _BREAK) / _LOG_STEP
    return np.minimum(hertz, _BREAK) / _HERTZ_PER_MEL + above


def _slaney_hertz(mel: Any) -> Any:
    knee = _BREAK / _HERTZ_PER_MEL
    return np.minimum(mel, knee) * _HERTZ_PER_MEL * np.exp(np.maximum(mel - knee, 0.0) * _LOG_STEP)
