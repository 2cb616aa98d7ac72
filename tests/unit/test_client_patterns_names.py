"""The names of ``client_patterns``, what they are, and what they cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
import requests

import requests_connection_manager as package
from requests_connection_manager import client_patterns
from requests_connection_manager.client_patterns import ServiceError, ServiceTimeoutError
from requests_connection_manager.testing import blackhole


def test_the_errors_are_those_of_the_one_tree():
    assert ServiceError is package.ConnectionManagerError
    assert ServiceTimeoutError is package.TimeoutError
    assert issubclass(ServiceTimeoutError, ServiceError)


def test_a_timeout_of_a_manager_is_a_service_timeout():
    manager = package.ConnectionManager(max_retries=1, timeout=0.05, backoff_factor=0)
    with blackhole() as origin, manager, pytest.raises(ServiceTimeoutError) as caught:
        manager.get(origin)
    assert isinstance(caught.value, requests.Timeout)


def test_every_name_can_be_imported_and_is_shown():
    for name in client_patterns.__all__:
        assert getattr(client_patterns, name) is not None
        assert name in dir(client_patterns)
    names: dict = {}
    exec("from requests_connection_manager.client_patterns import *", names)
    assert set(client_patterns.__all__) <= set(names)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        client_patterns.Nonsense  # noqa: B018  # the access is what is tested


def test_a_name_is_loaded_when_it_is_used():
    code = (
        "import sys\n"
        "from requests_connection_manager.client_patterns import extract_error_detail\n"
        "print([one for one in ('requests', 'httpx', 'asyncio') if one in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
