"""Answers to lines, as a feed prints them."""

from __future__ import annotations

import json
from math import isnan
from typing import Any

from ..describe import answer_in_words, answer_to_json
from ..prediction import Prediction
from ..watch import Surprise


def format_answer(
    given: str, prediction: Prediction | None, top: int, *, as_json: bool, surprise: Surprise | None = None,
    stream: tuple[str, int] | None = None,
) -> str:  # fmt: skip
    """Return the answer to a line, on one line.

    Args:
        given: What stood in the line.
        prediction: The answer; None: the symbol is unknown, so there is none.
        top: How many of the likeliest symbols to name.
        as_json: As a JSON object; else in columns with tabs between them.
        surprise: How surprising the symbol was; None: nobody has asked.
        stream: Key of its stream, and how many symbols that has seen; None: there is one stream alone.
    """
    if as_json:
        answer: dict[str, Any] = {} if stream is None else {"stream": stream[0], "seen": stream[1]}
        answer["input"] = given
        answer.update({"unknown": True} if prediction is None else answer_to_json(prediction, top))
        if surprise is not None:
            is_known = not isnan(surprise.bits)
            answer["bits"] = round(surprise.bits, 4) if is_known else None
            answer["rank"] = surprise.rank if is_known else None
            answer |= {"surprising": surprise.surprising, "alarm": surprise.alarm}
        return json.dumps(answer, ensure_ascii=False)
    columns = [] if stream is None else [_on_one_line(stream[0])]
    columns.append("" if prediction is None else answer_in_words(prediction, top))
    if surprise is not None:
        columns.append(_in_words(surprise))
    return "\t".join(columns)


def _in_words(surprise: Surprise) -> str:
    if isnan(surprise.bits):
        return "-"
    return f"{surprise.bits:.2f}{' alarm' if surprise.alarm else ' surprising' if surprise.surprising else ''}"


def _on_one_line(key: str) -> str:
    return key if key.isprintable() else json.dumps(key, ensure_ascii=False)
