"""Sources of an export: run folders and Keras models in any file that Keras wrote.

What a file is, its content says and never its name. TensorFlow is imported with the first access to `Source.model`;
everything before that is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.common.arrays import AnyArray
from ...runtime.format.vocabulary import Vocabulary
from .model_file import read_model
from .run_folder import MODEL, is_run_folder, read_run_folder
from .saved_model import is_saved_model

if TYPE_CHECKING:
    from ..layers.keras_graph import KerasModel


@dataclass(frozen=True)
class Source:
    """A Keras model and the facts known about it.

    Attributes:
        path: The file or folder of the model.
        name: Name of the model: that of the folder or of the file.
        vocabulary: Its symbols; None: unknown.
        labels: The symbols of its output, where these are others.
        training: Facts to record about its training.
        sample: Symbols as they really occur, for the parity check.
        sample_features: Name -> the features beside them, (T, ...); none where the model reads none.
        initial_state: Name -> the learned state after a reset; None: zeros.
        values: It answers with values.
        load: Loads the model.
    """

    path: Path
    name: str
    vocabulary: Vocabulary | None = None
    labels: Vocabulary | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    sample: tuple[str, ...] | None = None
    sample_features: Mapping[str, AnyArray] = field(default_factory=dict)
    initial_state: Mapping[str, AnyArray] | None = None
    values: bool = False
    load: Callable[[], KerasModel] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def model(self) -> KerasModel:
        """The Keras model, loaded at the first access. One of Keras 2 is rebuilt; `export` compares it with tf_keras.

        Raises:
            SourceError: Keras cannot load it, or it needs code that this process does not have.
        """
        return load_keras(self.path) if self.load is None else self.load()

    def with_symbols(self, vocabulary: Vocabulary | None, labels: Vocabulary | None) -> Source:
        """Return the same model with other symbols for its ids; the sample is translated.

        Args:
            vocabulary: Symbols of the input by id; None: they stay.
            labels: Symbols of the output by id; None: they stay.
        """
        sample = self.sample
        if vocabulary is not None and sample is not None and self.vocabulary is not None:
            fits = len(vocabulary) == len(self.vocabulary)
            sample = tuple(vocabulary.symbols[self.vocabulary.encode(s)] for s in sample) if fits else None
        return replace(self, vocabulary=vocabulary or self.vocabulary, labels=labels or self.labels, sample=sample)


def read_source(path: str | Path, weights: str | Path | None = None) -> Source:
    """Read a run folder or the Keras model in a file or folder, without TensorFlow.

    A model is in a .keras file of Keras 3 or Keras 2, an .h5 file, a SavedModel folder with the metadata of Keras, or
    a configuration (model.to_json()) with `weights`. Of a model of Keras 3 the configuration alone is read.

    Args:
        path: The file or folder.
        weights: File of the weights of a configuration: .h5, .weights.h5, or a checkpoint of TensorFlow.

    Raises:
        SourceError: There is no model at `path`, it is damaged, needs code that is not known here, or the run folder is
            damaged.
        VocabularyError: The vocabulary of the run folder is invalid.
        MissingPackageError: A package that is needed to read it, or to prove it, is not installed.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    model = path
    if path.is_dir() and not is_saved_model(path):
        model = path / MODEL
    run = is_run_folder(folder) and model.name == MODEL and weights is None
    load = read_model(model, None if weights is None else Path(weights))
    facts = read_run_folder(folder) if run else {"name": path.resolve().stem}
    return Source(path=model, load=load, **facts)


def load_keras(path: Path, weights: Path | None = None) -> KerasModel:
    """Load the Keras model in a file or folder; code inside it is never executed.

    Raises:
        SourceError: It is missing, damaged, or needs code that this process does not have.
    """
    return read_model(path, weights)()
