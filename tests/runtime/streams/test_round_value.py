"""Values are printed with six digits, and with two behind the point where these are more."""

from __future__ import annotations

import pytest

from stepcell.runtime.streams.prediction import round_value


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.0123456789, 0.0123457),
        (1804.5678, 1804.57),
        (101325.0078125, 101325.01),
        (-12345.6789, -12345.68),
        (1e20, 1e20),
    ],
)
def test_a_pressure_keeps_its_hundredths(value, printed):
    assert round_value(value) == printed
