"""How data for a model are read: as its training data were, unless something else is said."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from stepcell.runtime.commands.options import DataFormat, TableFormat
from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import DATA_FORMATS, FORMATS, SymbolsReader, TextReader, reader_for_model


def test_a_reading_of_another_kind_says_how_to_go_on(memory):
    for reading in ({"kind": "sound"}, {"kind": "text", "unit": "page"}, "x"):
        manifest = replace(memory.manifest, training={"data": {"reading": reading}})
        with pytest.raises(
            CorpusError, match="which this stepcell does not understand .* --format csv, .* text, symbols"
        ):
            reader_for_model(manifest)
        assert reader_for_model(manifest, {"format": "symbols"}).reader == SymbolsReader()
    newer = {**TextReader("word").to_json(), "more": 1}
    manifest = replace(memory.manifest, training={"data": {"reading": newer}})
    assert reader_for_model(manifest).reader == TextReader("word")


def test_every_command_calls_the_formats_alike(memory):
    assert get_args(DataFormat) == DATA_FORMATS
    assert get_args(TableFormat) == FORMATS == DATA_FORMATS[: len(FORMATS)]
    manifest = memory.manifest
    for format in DATA_FORMATS:
        reading = reader_for_model(manifest, {"format": format, "symbol": "what"} if format in FORMATS[:4] else
                                    {"format": format}).reader  # fmt: skip
        assert getattr(reading, "format", format) == format
    with pytest.raises(CorpusError, match="The format is 'xlsx', not one of csv, .*, symbols"):
        reader_for_model(manifest, {"format": "xlsx"})
