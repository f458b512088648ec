"""Reading files of events and texts into symbols, with numpy alone: for training, and for evaluation on a device.

from stepcell.runtime.reading import EventsReading

recording = EventsReading(symbol="activity", sequence="case", order="time").read(Path("log.csv"))
"""

from .corpus import MAX_SYMBOLS, UNKNOWN, Corpus, Reading
from .encoded import Tape, lay_out
from .events import FORMATS, EventsReading
from .features import Numbers, Scale, features_of
from .for_model import DATA_FORMATS, TrainedReading
from .recording import Recording
from .split import SEQUENCE, TIME, HeldOut
from .text import UNITS, SymbolsReading, TextReading
from .time_bins import Gaps

__all__ = [
    "DATA_FORMATS",
    "FORMATS",
    "MAX_SYMBOLS",
    "SEQUENCE",
    "TIME",
    "UNITS",
    "UNKNOWN",
    "Corpus",
    "EventsReading",
    "Gaps",
    "HeldOut",
    "Numbers",
    "Reading",
    "Recording",
    "Scale",
    "SymbolsReading",
    "Tape",
    "TextReading",
    "TrainedReading",
    "features_of",
    "lay_out",
]
