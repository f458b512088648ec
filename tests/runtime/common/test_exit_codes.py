"""Messages and exit codes of commands, in place of a traceback."""

from __future__ import annotations

import pytest

from stepcell.runtime.common.errors import InputError, OptionError, UnknownSymbolError, WrongBackendError
from stepcell.runtime.common.exit_codes import explain_error


class ResourceExhaustedError(Exception):
    """As in TensorFlow."""


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (UnknownSymbolError("'x' is not in the vocabulary."), "'x' is not in the vocabulary.", 1),
        (OptionError("No such options."), "No such options.", 2),
        (WrongBackendError("No such backend."), "No such backend.", 2),
        (InputError("It cannot be read."), "It cannot be read.", 1),
        (FileNotFoundError(2, "No such file or directory", "log.csv"), "No such file or directory: log.csv", 1),
        (OSError(28, "No space left on device"), "No space left on device", 1),
        (OSError("odd"), "odd", 1),
        (
            ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"),
            "This command needs the package tensorflow. Install it: pip install 'stepcell[train]'",
            1,
        ),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(error, text, code):
    assert explain_error(error, "train") == (text, code)


@pytest.mark.parametrize("error", [MemoryError(), ResourceExhaustedError("OOM when allocating a tensor")])
def test_too_little_memory_has_one_message_for_python_and_tensorflow(error):
    text, code = explain_error(error, "train")
    assert text.startswith("This machine has not enough memory")
    assert code == 1


@pytest.mark.parametrize("error", [ValueError("ours"), ModuleNotFoundError("No module named 'x'", name="x")])
def test_a_fault_of_the_program_is_not_explained_away(error):
    assert explain_error(error, "export") is None
