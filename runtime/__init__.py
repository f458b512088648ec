"""The device side: load a model file and step it, one symbol at a time, with numpy and one interpreter.

    from stepcell.runtime import load

    stream = load("memory.tflite").stream()
    print(stream.step("3").symbol)

Nothing in this package imports TensorFlow; numpy is imported with the first name that is taken from here.
"""

from typing import TYPE_CHECKING

from .common.lazy import lazy_names

if TYPE_CHECKING:
    from .common.errors import (
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
    from .data.log_mel import LogMel
    from .format.manifest import Cell, Golden, GoldenRun, Manifest, StateTensor
    from .format.model_file import ModelFile, read_model_file
    from .format.tensor_specs import AnswerTimes, Feature, Output
    from .format.vocabulary import Vocabulary
    from .interpreters.probe import probe_backends, usable_backends
    from .interpreters.registry import BACKEND_NAMES, describe_backend
    from .streams.fleet import Fleet
    from .streams.lockstep import Streams
    from .streams.model import Model, load
    from .streams.prediction import Prediction
    from .streams.raw_state import pack_raw_state, unpack_raw_state
    from .streams.saved_state import SavedStreams, read_saved_streams
    from .streams.snapshot import Snapshot
    from .streams.sqlite_store import SqliteStore
    from .streams.stream import Stream
    from .tasks.anomaly import Surprise, Threshold, Watch, calibrate, read_threshold
    from .tasks.generate import Continuation
    from .tasks.lanes import Lanes
    from .tasks.score import Score, ScoreSummary

__all__ = [
    "BACKEND_NAMES",
    "AnswerTimes",
    "BackendError",
    "Cell",
    "Continuation",
    "DamagedFileError",
    "DamagedStateError",
    "Feature",
    "FeatureMismatchError",
    "Fleet",
    "ForeignFileError",
    "ForeignStateError",
    "Golden",
    "GoldenMismatchError",
    "GoldenRun",
    "Lanes",
    "LogMel",
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
    "ScoreSummary",
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
    "pack_raw_state",
    "probe_backends",
    "read_model_file",
    "read_saved_streams",
    "read_threshold",
    "unpack_raw_state",
    "usable_backends",
]

_HOMES = {
    ".common.errors": tuple(name for name in __all__ if name.endswith("Error")),
    ".data.log_mel": ("LogMel",),
    ".format.manifest": ("Cell", "Golden", "GoldenRun", "Manifest", "StateTensor"),
    ".format.model_file": ("ModelFile", "read_model_file"),
    ".format.tensor_specs": ("AnswerTimes", "Feature", "Output"),
    ".format.vocabulary": ("Vocabulary",),
    ".interpreters.probe": ("probe_backends", "usable_backends"),
    ".interpreters.registry": ("BACKEND_NAMES", "describe_backend"),
    ".streams.fleet": ("Fleet",),
    ".streams.lockstep": ("Streams",),
    ".streams.model": ("Model", "load"),
    ".streams.prediction": ("Prediction",),
    ".streams.raw_state": ("pack_raw_state", "unpack_raw_state"),
    ".streams.saved_state": ("SavedStreams", "read_saved_streams"),
    ".streams.snapshot": ("Snapshot",),
    ".streams.sqlite_store": ("SqliteStore",),
    ".streams.stream": ("Stream",),
    ".tasks.anomaly": ("Surprise", "Threshold", "Watch", "calibrate", "read_threshold"),
    ".tasks.generate": ("Continuation",),
    ".tasks.lanes": ("Lanes",),
    ".tasks.score": ("ScoreSummary", "Score"),
}

if not TYPE_CHECKING:  # or a name that does not exist would pass for one
    __getattr__ = lazy_names(__name__, _HOMES)
