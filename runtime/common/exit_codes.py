"""Messages and exit codes of commands, in place of a traceback."""

from __future__ import annotations

from .errors import OptionError, StepcellError, WrongBackendError

REFUSED, WRONG_USAGE = 1, 2  # exit codes
_NO_MEMORY = "This machine has not enough memory for that. Smaller numbers of units, symbols or steps need less."
_PACKAGES = ("tensorflow", "keras", "onnx", "tf2onnx")  # of extras


def explain_error(error: BaseException, extra: str) -> tuple[str, int] | None:
    """Return the message for an error that ended a command, and the exit code.

    Args:
        error: The error.
        extra: The extra of stepcell that brings the packages of the command.

    Returns:
        The message and 1 or 2; None for a fault of the program, whose traceback is wanted.
    """
    if isinstance(error, StepcellError):
        return str(error), WRONG_USAGE if isinstance(error, (OptionError, WrongBackendError)) else REFUSED
    if isinstance(error, ModuleNotFoundError) and error.name in _PACKAGES:
        return f"This command needs the package {error.name}. Install it: pip install 'stepcell[{extra}]'", REFUSED
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's own
        return _NO_MEMORY, REFUSED
    if isinstance(error, OSError):
        what = str(error.strerror or error)
        return f"{what}: {error.filename}" if error.filename else what, REFUSED
    return None
