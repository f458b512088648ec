"""The one family of errors: `StepcellError` and its leaves.

Each leaf also inherits the built-in exception a Python programmer would catch for it.
Each message says what was found, what was expected and what to do next.

Format numbers: a file of a later version is refused, and it is said what to install.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class StepcellError(Exception):
    """Anything stepcell refuses to do. Its text is meant to be read by a person."""

    def __str__(self) -> str:
        """Return the message as it was given (`KeyError` would put quotes around it)."""
        return " ".join(str(argument) for argument in self.args)


class VocabularyError(StepcellError, ValueError):
    """A vocabulary that cannot be one: empty, repeated or wrongly typed symbols, or the wrong size."""


class UnknownSymbolError(StepcellError, KeyError):
    """A symbol that the vocabulary does not hold."""


class StateMismatchError(StepcellError, ValueError):
    """A state whose names, shapes or numbers do not fit the model."""


class FeatureMismatchError(StepcellError, ValueError):
    """Features whose names, shapes or numbers do not fit the model."""


class NoProbabilitiesError(StepcellError, AttributeError):
    """A question about probabilities to a model that answers with values."""


class SavedStateError(StepcellError, ValueError):
    """A saved state that cannot be used. No stream has moved."""


class ForeignStateError(SavedStateError):
    """Bytes that are no saved state."""


class DamagedStateError(SavedStateError):
    """A saved state whose bytes are not those that were written."""


class NewerStateError(SavedStateError):
    """A saved state of a version that this stepcell cannot read."""


class OtherModelError(SavedStateError):
    """A state or threshold that belongs to another model file."""


class StateNotFoundError(StepcellError, FileNotFoundError):
    """No saved state where one was expected."""


class NotFiniteError(StepcellError, ArithmeticError):
    """An answer or a state with something in it that is no finite number; or probabilities that are all 0."""


class TargetError(StepcellError, ValueError):
    """A model that answers with labels, where one is needed that predicts its next symbol."""


class OptionError(StepcellError, ValueError):
    """Options of a call that make no sense. Every one of them is named."""


class ThresholdError(StepcellError, ValueError):
    """A threshold that cannot be read, or that the data cannot give."""


class ModelFileError(StepcellError, ValueError):
    """A model file that cannot be used. No byte of it has reached an interpreter."""


class ForeignFileError(ModelFileError):
    """A file without a stepcell manifest."""


class DamagedFileError(ModelFileError):
    """A file whose bytes are not those that were exported."""


class NewerFormatError(ModelFileError):
    """A file of a format that this version cannot read."""


class ModelFileNotFoundError(StepcellError, FileNotFoundError):
    """No model file where one was expected."""


class NoInterpreterError(StepcellError, ImportError):
    """No interpreter on this machine can step the file."""


class WrongBackendError(StepcellError, ValueError):
    """A backend that does not exist, or that does not step files of this format."""


class WrongFormatError(StepcellError, ValueError):
    """A file format that does not exist."""


class BackendError(StepcellError, RuntimeError):
    """An interpreter failed. The state is where it was before the call."""


class GoldenMismatchError(StepcellError, RuntimeError):
    """The interpreter's answers to the golden sequence are not the recorded ones."""


class ParityError(StepcellError, ArithmeticError):
    """The exported file and the Keras model do not answer alike. Nothing was written."""


class NotSteppableError(StepcellError, ValueError):
    """A Keras model that cannot be stepped. Every layer in the way is named."""


class AdoptionError(StepcellError, ValueError):
    """A file that cannot be given a manifest. Everything in the way is named."""


class SourceError(StepcellError, ValueError):
    """A run folder or Keras file that cannot be exported."""


class ProblemError(StepcellError, ValueError):
    """A training problem or an option of it that makes no sense."""


class ResumeError(StepcellError, ValueError):
    """A training that cannot be continued: no checkpoint, a damaged one, or one of another training."""


class CorpusError(StepcellError, ValueError):
    """A text or a file of events that cannot be read or learned from. Everything in the way is named."""


class InputError(StepcellError, OSError):
    """An input of symbols that cannot be read, or a line of it that cannot be understood."""


class OutputError(StepcellError, OSError):
    """A file or folder that cannot be written. What stood there before still stands there."""


class MissingPackageError(StepcellError, ImportError):
    """An optional package that is not installed. The text says which extra brings it."""


def check_version(found: Any, newest: int, name: str, error: type[StepcellError], *, called: str = "format") -> None:
    """Raise `error` where a file has a higher number than this version reads; what is no number is for the caller.

    Args:
        found: The number in the file, or whatever stands in its place.
        newest: The highest number that can be read.
        name: What the file is called, for the message.
        error: What to raise.
        called: What the number is called there.
    """
    if isinstance(found, int) and found > newest:
        known = f"{called} {newest} and older" if newest > 1 else f"{called} {newest}"
        raise error(f"{name} has {called} {found}; this stepcell reads {known}. Upgrade with: pip install -U stepcell")


def raise_if_any(problems: Sequence[str], consequence: str, error: type[StepcellError] = ProblemError) -> None:
    """Raise `error` if there are `problems`: the `consequence`, then all of them."""
    if problems:
        raise error(f"{consequence}: {'; '.join(problems)}.")
