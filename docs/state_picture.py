"""The picture on the first page: the state of a network over time, drawn from a model file of the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stepcell.runtime import load

MODEL = Path(__file__).parent.parent / "tests/data/memory.tflite"
SEQUENCES = "30123", "40124"  # the symbol after 2 is the first one
_CELL, _ROW, _LEFT, _TOP, _GAP = 34, 5, 66, 30, 8  # pixels
_BELOW, _ABOVE = np.array([42, 100, 214]), np.array([224, 90, 20])  # of the numbers below and above 0


def state_picture() -> str:
    """Return an HTML figure: h and c after each symbol of both sequences, and their difference."""
    model = load(MODEL, backend="numpy")
    runs = [_run(model.stream(), sequence) for sequence in SEQUENCES]
    (first, expected_first), (second, expected_second) = runs
    difference = {name: first[name] - second[name] for name in first}
    unlike = "".join(a if a == b else "≠" for a, b in zip(*SEQUENCES, strict=True))
    panels = [
        _panel(f"Stream A begins with {SEQUENCES[0][0]}", SEQUENCES[0], first, expected_first),
        _panel(f"Stream B begins with {SEQUENCES[1][0]}", SEQUENCES[1], second, expected_second),
        _panel("A - B: the memory", unlike, difference, ""),
    ]
    return '<div class="state-over-time">' + "".join(panels) + "</div>"


def _run(stream, sequence: str) -> tuple[dict[str, np.ndarray], str]:
    """Return name of each state tensor -> its numbers (steps, units), and what was expected after each symbol."""
    states, expected = [], ""
    for symbol in sequence:
        expected += stream.step(symbol).symbol
        states.append({name: np.array(value[0]) for name, value in stream.state.items()})
    return {name: np.stack([state[name] for state in states]) for name in states[0]}, expected


def _panel(title: str, symbols: str, state: dict[str, np.ndarray], expected: str) -> str:
    """Return one picture as SVG: a column for each step, a row for each number of the state."""
    parts, y = [_texts("reads", symbols, 20)], _TOP
    for name, values in state.items():
        largest, units = np.abs(values).max(), values.shape[1]
        parts.append(f'<text class="name" x="{_LEFT - 8}" y="{y + units * _ROW / 2 + 5}">{name.rstrip("0")}</text>')
        for step, column in enumerate(values / largest):
            for unit, value in enumerate(column):
                x = _LEFT + step * _CELL
                place = f'x="{x}" y="{y + unit * _ROW}" width="{_CELL}" height="{_ROW}"'
                parts.append(f'<rect {place} fill="{_colour(value)}"/>')
        y += units * _ROW + _GAP
    last = len(symbols) - 1  # a sequence is over, and any may begin
    parts.append(_texts("expects", expected[:last] + "·" if expected else "", y + 14))
    width = _LEFT + len(symbols) * _CELL
    picture = f'<svg viewBox="0 0 {width} {y + 22}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{title}</figcaption>{picture}</figure>"


def _texts(name: str, symbols: str, y: float) -> str:
    """Return a line of text in the columns, behind its name."""
    columns = (f'<text x="{_LEFT + (i + 0.5) * _CELL}" y="{y}">{symbol}</text>' for i, symbol in enumerate(symbols))
    return (f'<text class="name" x="{_LEFT - 8}" y="{y}">{name}</text>' if symbols else "") + "".join(columns)


def _colour(value: float) -> str:
    """Return the colour of a number from -1 to 1, white for 0."""
    mixed = 255 + abs(value) * ((_ABOVE if value > 0 else _BELOW) - 255)
    return "#" + "".join(f"{round(part):02x}" for part in mixed)
