"""Fixtures that several test directories share; what they are made of is in ``drivers``."""

from __future__ import annotations

import pytest
from drivers import ANYIO_LOSES_SOCKETS, DRIVERS, LIBRARY_DRIVERS, driver_for
from rest_drivers import Servers, rest_driver_for

from requests_connection_manager.testing import FaultServer, VirtualClock


def pytest_configure(config: pytest.Config) -> None:
    """Let what anyio loses be no failure of whichever test it is found in."""
    if ANYIO_LOSES_SOCKETS:
        for what in ("transport", "<socket"):
            config.addinivalue_line("filterwarnings", f"ignore:unclosed {what}:ResourceWarning")


@pytest.fixture(params=DRIVERS)
def driver(request):
    """One test, four worlds: the sync manager, and the async one on asyncio, trio and aiohttp."""
    with driver_for(request.param) as running:
        yield running


@pytest.fixture(params=LIBRARY_DRIVERS)
def rest(request):
    """One test, three worlds: the sync REST client, and the async one on asyncio and on trio."""
    with rest_driver_for(request.param) as running:
        yield running


@pytest.fixture
def servers():
    """A transport that stands for all servers."""
    return Servers()


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def clock():
    return VirtualClock()


def pytest_make_parametrize_id(config, val, argname):
    """Name long bytes by their parameter: compressed ones differ from one process to the next."""
    return argname if isinstance(val, bytes) and len(val) > 20 else None
