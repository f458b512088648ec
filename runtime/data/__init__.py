"""Reading files of events and texts into symbols, with numpy alone: for training, and for evaluation on a device.

from stepcell.runtime.data import EventsReader

recording = EventsReader(symbol="activity", sequence="case", order="time").read(Path("log.csv"))
"""

from .corpus import MAX_SYMBOLS, UNKNOWN, Corpus, Reader
from .encoded import EncodedSequences, encode_sequences
from .events import FORMATS, EventsReader
from .features import FeatureColumns, FeatureStats, features_of
from .for_model import DATA_FORMATS, ModelReader, reader_for_model
from .recording import Recording
from .split import SEQUENCE, TIME, HeldOut
from .text import UNITS, SymbolsReader, TextReader
from .time_bins import TimeBins

__all__ = [
    "DATA_FORMATS",
    "FORMATS",
    "MAX_SYMBOLS",
    "SEQUENCE",
    "TIME",
    "UNITS",
    "UNKNOWN",
    "Corpus",
    "EncodedSequences",
    "EventsReader",
    "FeatureColumns",
    "FeatureStats",
    "HeldOut",
    "ModelReader",
    "Reader",
    "Recording",
    "SymbolsReader",
    "TextReader",
    "TimeBins",
    "encode_sequences",
    "features_of",
    "reader_for_model",
]
