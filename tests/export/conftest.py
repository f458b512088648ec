"""Every file that these tests export is checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.manifests import written_manifests_are_valid


@pytest.fixture(scope="session", autouse=True)
def manifests() -> Iterator[None]:
    """Every manifest that is written is valid by the published JSON Schema."""
    with written_manifests_are_valid():
        yield
