"""The family of errors, and the helpers that raise them."""

from __future__ import annotations

import inspect
import re

import pytest

import stepcell.runtime
from stepcell.runtime.common import errors
from stepcell.runtime.common.errors import (
    NewerFormatError,
    ProblemError,
    StepcellError,
    UnknownSymbolError,
    VocabularyError,
    check_version,
    raise_if_any,
)

CLASSES = {name: one for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, StepcellError)}


def test_the_map_shows_every_error_with_its_parent_and_its_built_in_exception():
    parents, shown = {}, {}
    for spaces, name, built_in in re.findall(r"^( {4,})(\w+Error)\b *(\w*)$", errors.__doc__, re.MULTILINE):
        parents[len(spaces)] = name
        shown[name] = (parents.get(len(spaces) - 4, "Exception"), built_in)
    found = {
        name: (one.__bases__[0].__name__, one.__bases__[1].__name__ if len(one.__bases__) > 1 else "")
        for name, one in CLASSES.items()
    }
    assert shown == found
    assert list(shown) == list(CLASSES)


def test_every_error_that_the_runtime_exports_is_of_the_family():
    exported = {name for name in stepcell.runtime.__all__ if name.endswith("Error")}
    assert exported <= set(CLASSES)
    assert all(CLASSES[name] is getattr(stepcell.runtime, name) for name in exported)


@pytest.mark.parametrize("name", CLASSES)
def test_the_text_of_an_error_is_its_message(name):
    assert str(CLASSES[name]("Nothing of 'it' was written.")) == "Nothing of 'it' was written."


def test_an_error_can_be_caught_as_the_built_in_exception():
    with pytest.raises(KeyError):
        raise UnknownSymbolError("'x' is not in the vocabulary.")


def test_all_problems_are_named_behind_their_consequence():
    with pytest.raises(ProblemError, match=r"^Nothing can be learned: no units; no symbols\.$"):
        raise_if_any(["no units", "no symbols"], "Nothing can be learned")
    with pytest.raises(VocabularyError, match=r"^It cannot be used: it is empty\.$"):
        raise_if_any(["it is empty"], "It cannot be used", VocabularyError)


def test_no_problems_are_no_error():
    raise_if_any([], "Nothing can be learned")


@pytest.mark.parametrize("found", [0, 1, 2, None, "9", 9.5])
def test_a_version_that_is_known_or_is_no_number_passes(found):
    check_version(found, 2, "a.tflite", NewerFormatError)


@pytest.mark.parametrize(
    ("newest", "called", "message"),
    [
        (1, "format", "a.tflite has format 9; this stepcell reads format 1. Upgrade with: pip install -U stepcell"),
        (3, "version", "a.tflite has version 9; this stepcell reads version 3 and older. Upgrade with: pip install -U"),
    ],
)
def test_a_newer_version_is_refused_with_the_upgrade(newest, called, message):
    with pytest.raises(NewerFormatError, match=message):
        check_version(9, newest, "a.tflite", NewerFormatError, called=called)
