"""The device side: load a model file and step it, one symbol at a time, with numpy and one interpreter.

    from stepcell.runtime import load

    stream = load("memory.tflite").stream()
    print(stream.step("3").symbol)

Nothing in this package imports TensorFlow.
"""

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
from .manifest import Cell, Golden, GoldenRun, Manifest, StateTensor
from .model import Model, load
from .model_file import ModelFile, read_model_file
from .ports import Feature, Output
from .prediction import Prediction
from .saved_streams import SavedStreams
from .saved_streams_reader import read_saved_streams
from .score import Figures, Score
from .snapshot import Snapshot
from .stream import Stream
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
    "ForeignFileError",
    "ForeignStateError",
    "Golden",
    "GoldenMismatchError",
    "GoldenRun",
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
    "Prediction",
    "SavedStateError",
    "SavedStreams",
    "Score",
    "Snapshot",
    "StateMismatchError",
    "StateNotFoundError",
    "StateTensor",
    "StepcellError",
    "Stream",
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
