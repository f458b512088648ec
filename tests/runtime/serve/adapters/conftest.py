"""A broker for the tests of MQTT."""

from __future__ import annotations

import pytest
from support.mosquitto import Broker


@pytest.fixture
def broker(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    with Broker(folder) as running:
        yield running
