"""The options of `stepcell train events` and `text`: joined columns, splits, files to evaluate on, refusals."""

from __future__ import annotations

import pytest
from support.command_line import stepcell

ROWS = "entity,state,day,time\n" + "".join(f"lamp,on,{n % 3},2024-01-01T00:{n % 60:02}\n" for n in range(90))


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(ROWS)
    return path


def refused(*arguments):
    result = stepcell("train", *arguments, "--out", "/nowhere/run")
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    return " ".join(result.stderr.replace("│", " ").split())


def test_columns_are_joined(log):
    columns = ["--symbol", "entity", "--symbol", "state", "--order", "time"]
    assert "repeats one symbol, 'lamp=on'" in refused("events", log, *columns, "--end", "")
    assert "repeats one symbol, 'lamp / on'" in refused("events", log, *columns, "--join", " / ", "--end", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sequence", "day", "--sequence", "entity"], "it is given 2 times and takes one value"),
        (["--order=time", "--order", "day"], "it is given 2 times and takes one value"),
        (["--held-out", "none.csv"], "Cannot read none.csv"),
        (["--held-out", "none.csv", "--split", "last"], "is a file, which is held out whole: leave out --split last"),
        (["--held-out", "1.5"], "the share to hold out is 1.5"),
        (["--order", "time", "--time-unit", "ms"], "is not a number, as --time-unit ms says"),
        (["--order", "time", "--time-zone", "Mars"], "There is no time zone 'Mars' here"),
        (["--order", "day", "--gaps", "1min"], "--gaps 1min needs the unit of the numbers in the column 'day'"),
    ],
)
def test_options_that_cannot_be_are_refused_before_training(log, options, message):
    assert message in refused("events", log, "--symbol", "state", *options)


def test_the_training_file_is_no_file_to_evaluate_on(log, tmp_path):
    copy = tmp_path / "copy.csv"
    copy.write_text(ROWS)
    for kind in (["events", log, "--symbol", "state"], ["text", log]):
        assert "is to be held out and is" in refused(*kind, "--held-out", copy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Name the column of the values to forecast or compute: --value COLUMN"),
        (["--value", "watt"], "no column 'watt' (--value)"),
        (["--value", "time"], "'2024-01-01T00:00' in the column 'time' is not a number"),
        (["--value", "day", "--ahead", "0"], "name them, --feature COLUMN"),
        (["--value", "day", "--ahead", "-1"], "should be greater than or equal to 0"),
        (["--value", "day", "--ahead", "90"], "no sequence of more than 90 rows"),
        (["--value", "day", "--feature", "x=day", "--ahead", "0"], "read and answered in one row"),
        (["--value", "day", "--held-out", "none.csv", "--split", "last"], "leave out --split last"),
        (["--value", "day", "--loss", "mape"], "is not one of"),
    ],
)
def test_a_series_that_cannot_be_learned_is_refused_before_training(log, options, message):
    assert message in refused("series", log, *options)
