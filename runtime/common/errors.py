"""All errors of stepcell: one family, so that one `except StepcellError` catches whatever is refused.

Each error also inherits the built-in exception that Python programmers would catch for it (right). Each message says
what was found, what was expected and what to do next.

    StepcellError
        # What a model is given and answers
        VocabularyError                 ValueError
        UnknownSymbolError              KeyError
        StateMismatchError              ValueError
        FeatureMismatchError            ValueError
        NoProbabilitiesError            AttributeError
        TargetError                     ValueError
        NotFiniteError                  ArithmeticError
        # Saved states
        SavedStateError                 ValueError
            ForeignStateError
            DamagedStateError
            NewerStateError
            OtherModelError
        StateNotFoundError              FileNotFoundError
        # Model files
        ModelFileError                  ValueError
            ForeignFileError
            DamagedFileError
            NewerFormatError
        ModelFileNotFoundError          FileNotFoundError
        WrongFormatError                ValueError
        # Interpreters and packages
        NoInterpreterError              ImportError
        WrongBackendError               ValueError
        BackendError                    RuntimeError
        GoldenMismatchError             RuntimeError
        MissingPackageError             ImportError
        WorkerError                     RuntimeError
        # Export
        SourceError                     ValueError
        NotSteppableError               ValueError
        ParityError                     ArithmeticError
        CompilerError                   RuntimeError
        AdoptionError                   ValueError
        # Training and data
        ProblemError                    ValueError
        ResumeError                     ValueError
        CorpusError                     ValueError
        ThresholdError                  ValueError
        # Options, input and output
        OptionError                     ValueError
        InputError                      OSError
        OutputError                     OSError
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_LONGEST_LINE = 2000  # characters of a line of a message: what is quoted may have come as a line of 100 MB


class StepcellError(Exception):
    """Anything that stepcell refuses to do. Its text is meant for people."""

    def __str__(self) -> str:
        """Return the message as it was given (`KeyError` would put quotes around it), very long lines cut."""
        return "\n".join(map(_cut, " ".join(str(argument) for argument in self.args).split("\n")))


def _cut(line: str) -> str:
    """Return a line of a message without its middle, if it is very long: the end says what to do."""
    if len(line) <= _LONGEST_LINE:
        return line
    half = _LONGEST_LINE // 2
    return f"{line[:half]} ... ({len(line) - 2 * half:,} characters are left out) ... {line[-half:]}"


# What a model is given and answers.


class VocabularyError(StepcellError, ValueError):
    """A vocabulary that cannot be one: empty, repeated or wrongly typed symbols, or the wrong size."""


class UnknownSymbolError(StepcellError, KeyError):
    """A symbol that the vocabulary does not have."""


class StateMismatchError(StepcellError, ValueError):
    """A state whose names, shapes or numbers do not fit the model."""


class FeatureMismatchError(StepcellError, ValueError):
    """Features whose names, shapes or numbers do not fit the model."""


class NoProbabilitiesError(StepcellError, AttributeError):
    """A question about probabilities to a model that answers with values."""


class TargetError(StepcellError, ValueError):
    """A model that answers with labels, where one is needed that predicts its next symbol."""


class NotFiniteError(StepcellError, ArithmeticError):
    """An answer or a state that is not finite, or probabilities that are all 0."""


# Saved states.


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


# Model files.


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


class WrongFormatError(StepcellError, ValueError):
    """A file format that does not exist."""


# Interpreters and packages.


class NoInterpreterError(StepcellError, ImportError):
    """No interpreter on this machine can step the file."""


class WrongBackendError(StepcellError, ValueError):
    """A backend that does not exist, or that does not step files of this format."""


class BackendError(StepcellError, RuntimeError):
    """An interpreter that failed. The state is as it was before the call."""


class GoldenMismatchError(StepcellError, RuntimeError):
    """An interpreter whose answers to the golden sequence are not the recorded ones."""


class MissingPackageError(StepcellError, ImportError):
    """An optional package that is not installed. The text says which extra brings it."""


class WorkerError(StepcellError, RuntimeError):
    """A worker of Spark that cannot do its part. The text has the worker's reason."""


# Export.


class SourceError(StepcellError, ValueError):
    """A run folder or Keras file that cannot be exported."""


class NotSteppableError(StepcellError, ValueError):
    """A Keras model that cannot be stepped. Every layer in the way is named."""


class ParityError(StepcellError, ArithmeticError):
    """An exported file that does not answer as the Keras model does. Nothing was written."""


class CompilerError(StepcellError, RuntimeError):
    """A C compiler that is not there, or that refuses a file. Nothing was written."""


class AdoptionError(StepcellError, ValueError):
    """A file that cannot be given a manifest. Everything in the way is named."""


# Training and data.


class ProblemError(StepcellError, ValueError):
    """A training problem, or an option of it, that makes no sense."""


class ResumeError(StepcellError, ValueError):
    """A training that cannot be continued: no checkpoint, a damaged one, or one of another training."""


class CorpusError(StepcellError, ValueError):
    """A text or a file of events that cannot be read or learned from. Everything in the way is named."""


class ThresholdError(StepcellError, ValueError):
    """A threshold that cannot be read, or that the data cannot give."""


# Options, input and output.


class OptionError(StepcellError, ValueError):
    """Options of a call that make no sense. Every one of them is named."""


class InputError(StepcellError, OSError):
    """An input of symbols that cannot be read, or a line of it that cannot be understood."""


class OutputError(StepcellError, OSError):
    """A file or folder that cannot be written. What was there before is still there."""


# Helpers that raise them.


def raise_if_any(problems: Sequence[str], consequence: str, error: type[StepcellError] = ProblemError) -> None:
    """Raise `error` with the `consequence` and all `problems`, if there are any."""
    if problems:
        raise error(f"{consequence}: {'; '.join(problems)}.")


def check_version(found: Any, newest: int, name: str, error: type[StepcellError], *, called: str = "format") -> None:
    """Raise `error` for a file with a higher version number than this stepcell reads.

    Args:
        found: The number in the file; anything else than a number is left to the caller.
        newest: The highest number that can be read.
        name: The name of the file, for the message.
        error: The error to raise.
        called: The word for the number in that kind of file.
    """
    if isinstance(found, int) and found > newest:
        known = f"{called} {newest} and older" if newest > 1 else f"{called} {newest}"
        raise error(f"{name} has {called} {found}; this stepcell reads {known}. Upgrade with: pip install -U stepcell")
