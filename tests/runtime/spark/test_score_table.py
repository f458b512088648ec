"""Tables on a real Spark have the scores and metrics of `stepcell score` and `evaluate`. Java is needed."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from support.command_line import stepcell
from support.models import DATA

from stepcell.runtime import OptionError
from stepcell.runtime.common.errors import WorkerError
from stepcell.runtime.spark import evaluate_table, raise_reason, score_table

pytestmark = pytest.mark.slow

MEMORY = DATA / "memory.tflite"


@pytest.fixture(scope="module")
def log():
    """Rows (case, time, activity) of 40 cases, in the order of the file."""
    chance = random.Random(1)
    rows = [(f"c{case:02}", step, chance.choice("01234")) for case in range(40) for step in range(3 + case % 17)]
    chance.shuffle(rows)
    return rows


@pytest.fixture(scope="module")
def table(spark, log):
    return spark.createDataFrame(log, "case string, time long, activity string")


def test_scores_are_those_of_the_command(table, log, tmp_path):
    lines = {}
    for case, _, activity in sorted(log):
        lines.setdefault(case, []).append(activity)
    (tmp_path / "log.lines").write_text("".join(" ".join(one) + "\n" for one in lines.values()))
    command = stepcell("score", MEMORY, tmp_path / "log.lines", "--format", "lines", "--per-symbol", "--json")
    expected = [json.loads(line) for line in command.stdout.splitlines()]
    found = score_table(table, MEMORY, key="case", symbol="activity", order="time", check=False)
    assert found.columns == ["case", "position", "bits", "rank"]
    rows = found.orderBy("case", "position").collect()
    assert len(rows) == len(expected) == len(log)
    bits = np.array([np.nan if row["bits"] is None else row["bits"] for row in rows])
    wanted = np.array([np.nan if one["surprise"] is None else one["surprise"] for one in expected])
    np.testing.assert_allclose(bits, wanted, atol=1e-4)  # the command writes four digits
    assert [row["rank"] for row in rows] == [one["rank"] for one in expected]
    assert [row["position"] for row in rows if row["case"] == "c01"] == list(range(1, 5))
    evaluated = stepcell("evaluate", MEMORY, tmp_path / "log.lines", "--format", "lines", "--json")
    metrics = evaluate_table(table, MEMORY, key="case", symbol="activity", order="time", check=False)
    assert metrics.pop("sequences") == 40
    assert metrics == pytest.approx(json.loads(evaluated.stdout)["modes"]["reset"], abs=1e-5)


def test_rows_that_cannot_be_read_are_refused_or_left_out(spark, table, log):
    bad = table.union(spark.createDataFrame([(None, 1, "0"), ("c00", 99, None)], table.schema))
    options = {"key": "case", "symbol": "activity", "order": "time", "check": False}
    with pytest.raises(Exception, match="nothing in") as caught:
        score_table(bad, MEMORY, **options).collect()
    with pytest.raises(WorkerError, match=r"1 in the column '(case|activity)'.*bad_rows='skip'"):
        raise_reason(caught.value)
    assert score_table(bad, MEMORY, bad_rows="skip", **options).count() == len(log)
    empty = spark.createDataFrame(
        [("a", 0.0, "3"), ("a", float("nan"), "0"), ("a", 1.0, "")], "case string, time double, activity string"
    )
    with pytest.raises(Exception, match=r"1 in the column 'activity', 1 in the column 'time'"):
        score_table(empty, MEMORY, **options).collect()
    named = score_table(empty.withColumnRenamed("case", "Bits"), MEMORY, bad_rows="skip", **{**options, "key": "Bits"})
    assert (named.columns, named.count()) == (["in_Bits", "position", "bits", "rank"], 1)
    with pytest.raises(Exception, match="does not know 1 symbols of the column 'activity': 'x'"):
        score_table(spark.createDataFrame([("a", 1, "x")], table.schema), MEMORY, **options).collect()
    with pytest.raises(OptionError, match="order='activity' is of the type string.*to_timestamp"):
        score_table(table, MEMORY, **{**options, "order": "activity"})
