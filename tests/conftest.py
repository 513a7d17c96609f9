"""Fixtures that several parts of the tree need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.azurite import Azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One storage emulator for the whole run: tests keep apart by the names they choose."""
    with Azurite.start() as running:
        yield running
