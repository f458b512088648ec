"""The device side: load a model file and step it, one symbol at a time, with numpy and one interpreter.

    from stepcell.runtime import load

    stream = load("memory.tflite").stream()
    print(stream.step("3").symbol)

Nothing in this package imports TensorFlow; numpy is imported with the first name that is taken from here.
"""

from typing import TYPE_CHECKING

from .lazy_names import lazy_names

if TYPE_CHECKING:
    from .backend import BACKEND_NAMES, describe_backend, probe_backends, usable_backends
    from .beam import Continuation
    from .calibration import calibrate
    from .errors import (
        BackendError,
        DamagedFileError,
        DamagedStateError,
        FeatureMismatchError,
        ForeignFileError,
        ForeignStateError,
        GoldenMismatchError,
        ModelFileError,
        ModelFileNotFoundError,
        NewerFormatError,
        NewerStateError,
        NoInterpreterError,
        NoProbabilitiesError,
        NotFiniteError,
        OptionError,
        OtherModelError,
        OutputError,
        SavedStateError,
        StateMismatchError,
        StateNotFoundError,
        StepcellError,
        TargetError,
        ThresholdError,
        UnknownSymbolError,
        VocabularyError,
        WrongBackendError,
    )
    from .fleet import Fleet
    from .lanes import Lanes
    from .manifest import Cell, Golden, GoldenRun, Manifest, StateTensor
    from .model import Model, load
    from .model_file import ModelFile, read_model_file
    from .ports import Feature, Output
    from .prediction import Prediction
    from .saved_streams import SavedStreams
    from .saved_streams_reader import read_saved_streams
    from .score import Figures, Score
    from .snapshot import Snapshot
    from .sqlite_store import SqliteStore
    from .stream import Stream
    from .streams import Streams
    from .threshold import Threshold, read_threshold
    from .vocabulary import Vocabulary
    from .watch import Surprise, Watch

__all__ = [
    "BACKEND_NAMES",
    "BackendError",
    "Cell",
    "Continuation",
    "DamagedFileError",
    "DamagedStateError",
    "Feature",
    "FeatureMismatchError",
    "Figures",
    "Fleet",
    "ForeignFileError",
    "ForeignStateError",
    "Golden",
    "GoldenMismatchError",
    "GoldenRun",
    "Lanes",
    "Manifest",
    "Model",
    "ModelFile",
    "ModelFileError",
    "ModelFileNotFoundError",
    "NewerFormatError",
    "NewerStateError",
    "NoInterpreterError",
    "NoProbabilitiesError",
    "NotFiniteError",
    "OptionError",
    "OtherModelError",
    "Output",
    "OutputError",
    "Prediction",
    "SavedStateError",
    "SavedStreams",
    "Score",
    "Snapshot",
    "SqliteStore",
    "StateMismatchError",
    "StateNotFoundError",
    "StateTensor",
    "StepcellError",
    "Stream",
    "Streams",
    "Surprise",
    "TargetError",
    "Threshold",
    "ThresholdError",
    "UnknownSymbolError",
    "Vocabulary",
    "VocabularyError",
    "Watch",
    "WrongBackendError",
    "calibrate",
    "describe_backend",
    "load",
    "probe_backends",
    "read_model_file",
    "read_saved_streams",
    "read_threshold",
    "usable_backends",
]

_HOMES = {
    ".backend": ("BACKEND_NAMES", "describe_backend", "probe_backends", "usable_backends"),
    ".beam": ("Continuation",),
    ".calibration": ("calibrate",),
    ".errors": tuple(name for name in __all__ if name.endswith("Error")),
    ".fleet": ("Fleet",),
    ".lanes": ("Lanes",),
    ".manifest": ("Cell", "Golden", "GoldenRun", "Manifest", "StateTensor"),
    ".model": ("Model", "load"),
    ".model_file": ("ModelFile", "read_model_file"),
    ".ports": ("Feature", "Output"),
    ".prediction": ("Prediction",),
    ".saved_streams": ("SavedStreams",),
    ".saved_streams_reader": ("read_saved_streams",),
    ".score": ("Figures", "Score"),
    ".snapshot": ("Snapshot",),
    ".sqlite_store": ("SqliteStore",),
    ".stream": ("Stream",),
    ".streams": ("Streams",),
    ".threshold": ("Threshold", "read_threshold"),
    ".vocabulary": ("Vocabulary",),
    ".watch": ("Surprise", "Watch"),
}

if not TYPE_CHECKING:  # or a name that does not exist would pass for one
    __getattr__ = lazy_names(__name__, _HOMES)
