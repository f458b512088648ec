"""Step models on Spark: `answer_stream` for unbounded streams of rows by key, `score_table` and `evaluate_table`.

    from stepcell.runtime.spark import answer_stream

    answers = answer_stream(df, "model.tflite", key="machine", symbol="event", seq="seq")

Spark is imported when it is needed first.
"""

from .stream import answer_stream
from .tables import evaluate_table, score_table
from .workers import raise_reason

__all__ = ["answer_stream", "evaluate_table", "raise_reason", "score_table"]
