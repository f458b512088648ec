"""Read files of events and texts as sequences of symbols, with numpy alone: for training, and on a device.

A row reader (`tables`) gives the cells of the `columns` that are read; `recording_builder` sorts them into sequences;
`encoded` makes ids, targets and features of them.

from stepcell.runtime.data import EventsReader

recording = EventsReader(symbol="activity", sequence="case", order="time").read(Path("log.csv"))
"""

from .columns import features_of
from .corpus import MAX_SYMBOLS, UNKNOWN, Corpus
from .encoded import EncodedSequences, encode_sequences
from .event_row import EventRow, RowParser
from .events import FORMATS, EventsReader
from .features import FeatureColumns, FeatureStats
from .for_model import DATA_FORMATS, ModelReader, reader_for_model
from .inherited import Inherited
from .recording import Reader, Recording
from .split import TIME, HeldOut
from .text import SymbolsReader, TextReader
from .time_bins import TimeBins

__all__ = [
    "DATA_FORMATS",
    "FORMATS",
    "MAX_SYMBOLS",
    "TIME",
    "UNKNOWN",
    "Corpus",
    "EncodedSequences",
    "EventRow",
    "EventsReader",
    "FeatureColumns",
    "FeatureStats",
    "HeldOut",
    "Inherited",
    "ModelReader",
    "Reader",
    "Recording",
    "RowParser",
    "SymbolsReader",
    "TextReader",
    "TimeBins",
    "encode_sequences",
    "features_of",
    "reader_for_model",
]
