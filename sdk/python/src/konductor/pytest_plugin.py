"""Fixtures for pytest; it loads them by itself.

``konductor_memory`` is the primitives in memory. ``konductor_dev`` is a cluster by ``koncli dev``, one for
all tests, and ``konductor_client`` a client of it. Tests that use it are skipped if there is no koncli.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .testing import Dev, Memory


@pytest.fixture
def konductor_memory() -> Memory:
    """The primitives in memory."""
    from .testing import Memory

    return Memory()


@pytest.fixture(scope="session")
def konductor_dev() -> Iterator[Dev]:
    """A cluster with konductor's operator."""
    from ._errors import ConfigError
    from .testing import Dev, koncli

    try:
        koncli()
    except ConfigError as error:
        pytest.skip(str(error))
    with Dev() as running:
        yield running


@pytest.fixture
def konductor_client(konductor_dev: Dev) -> Iterator[Client]:
    """A client of the cluster."""
    from .client import Client

    with Client(kubeconfig=konductor_dev.kubeconfig, holder="test") as client:
        yield client
