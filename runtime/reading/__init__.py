"""Reading files of events and texts into symbols, with numpy alone: for training, and for evaluation on a device.

from stepcell.runtime.reading import EventsReading

recording = EventsReading(symbol="activity", sequence="case", order="time").read(Path("log.csv"))
"""

from .corpus import MOST_SYMBOLS, UNKNOWN, Corpus, Reading
from .events_reading import FORMATS, EventsReading
from .gaps import Gaps
from .held_out import SEQUENCE, TIME, HeldOut
from .numbers import Numbers, Scale, features_of
from .recording import Recording
from .symbols_reading import SymbolsReading
from .tape import Tape, lay_out
from .text_reading import UNITS, TextReading
from .trained_reading import DATA_FORMATS, TrainedReading

__all__ = [
    "DATA_FORMATS",
    "FORMATS",
    "MOST_SYMBOLS",
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
