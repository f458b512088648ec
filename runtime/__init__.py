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
    ForeignFileError,
    GoldenMismatchError,
    ModelFileError,
    ModelFileNotFoundError,
    NewerFormatError,
    NoInterpreterError,
    StateMismatchError,
    StepcellError,
    UnknownSymbolError,
    VocabularyError,
    WrongBackendError,
)
from .manifest import Cell, Golden, GoldenRun, Manifest, StateTensor
from .model import Model, load
from .model_file import ModelFile, read_model_file
from .prediction import Prediction
from .stream import Stream
from .vocabulary import Vocabulary

__all__ = [
    "BACKEND_NAMES",
    "BackendError",
    "Cell",
    "DamagedFileError",
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
