"""The device side: load a model file and step it, one symbol at a time, with numpy and one interpreter.

    from stepcell.runtime import load

    stream = load("memory.tflite").stream()
    print(stream.step("3").symbol)

Nothing in this package imports TensorFlow.
"""

from .backend import BACKEND_NAMES, describe_backend, probe_backends, usable_backends
from .errors import (
    BackendError,
    DamagedFileError,
    FeatureMismatchError,
    ForeignFileError,
    GoldenMismatchError,
    ModelFileError,
    ModelFileNotFoundError,
    NewerFormatError,
    NoInterpreterError,
    NoProbabilitiesError,
    StateMismatchError,
    StepcellError,
    UnknownSymbolError,
    VocabularyError,
    WrongBackendError,
)
from .manifest import Cell, Golden, GoldenRun, Manifest, StateTensor
from .model import Model, load
from .model_file import ModelFile, read_model_file
from .ports import Feature, Output
from .prediction import Prediction
from .stream import Stream
from .vocabulary import Vocabulary

__all__ = [
    "BACKEND_NAMES",
    "BackendError",
    "Cell",
    "DamagedFileError",
    "Feature",
    "FeatureMismatchError",
    "ForeignFileError",
    "Golden",
    "GoldenMismatchError",
    "GoldenRun",
    "Manifest",
    "Model",
    "ModelFile",
    "ModelFileError",
    "ModelFileNotFoundError",
    "NewerFormatError",
    "NoInterpreterError",
    "NoProbabilitiesError",
    "Output",
    "Prediction",
    "StateMismatchError",
    "StateTensor",
    "StepcellError",
    "Stream",
    "UnknownSymbolError",
    "Vocabulary",
    "VocabularyError",
    "WrongBackendError",
    "describe_backend",
    "load",
    "probe_backends",
    "read_model_file",
    "usable_backends",
]
