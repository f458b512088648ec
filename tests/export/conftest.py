"""Fixtures of the export tests."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def device():
    """Worker processes of all interpreters."""
    from stepcell.export.parity.device_process import DeviceProcesses

    with DeviceProcesses() as processes:
        yield processes


@pytest.fixture(scope="session")
def prepared():
    """A function from the name of a standard model to the model prepared for its files, with its expected runs."""
    from support.broken_export import expected_of
    from support.keras_models import STANDARD

    from stepcell.export.prepare import prepare

    @cache
    def prepared_once(name):
        options = STANDARD[name].options
        kept = {key: options[key] for key in ("vocabulary", "labels", "initial_state", "values") if key in options}
        model = prepare(STANDARD[name].build(), name=name, **kept)
        return SimpleNamespace(model=model, expected=expected_of(model, steps=300))

    return prepared_once
