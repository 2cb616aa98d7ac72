"""Fixtures that several test directories share; what they are made of is in ``drivers``."""

from __future__ import annotations

import pytest
from drivers import DRIVERS, driver_for

from requests_connection_manager.testing import FaultServer, VirtualClock


@pytest.fixture(params=DRIVERS)
def driver(request):
    """One test, three worlds: the sync manager, and the async one on asyncio and on trio."""
    with driver_for(request.param) as running:
        yield running


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def clock():
    return VirtualClock()
