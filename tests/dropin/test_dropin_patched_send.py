"""Whoever patches ``HTTPAdapter.send`` sees each attempt, however they patch it."""

from __future__ import annotations

from typing import Any
from unittest import mock

import requests

from requests_connection_manager import ConnectionManager


def answer() -> requests.Response:
    response = requests.Response()
    response.status_code = 200
    response.raw = mock.Mock(_original_response=None)
    response._content = b"{}"
    return response


def test_a_mock_that_binds_no_instance() -> None:
    with ConnectionManager() as manager, mock.patch("requests.adapters.HTTPAdapter.send") as send:
        send.return_value = answer()
        assert manager.get("http://api.test/path").status_code == 200
    assert send.call_args[0][0].url == "http://api.test/path"


def test_a_function_gets_the_instance() -> None:
    seen = []

    def send(self: Any, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        seen.append((isinstance(self, requests.adapters.HTTPAdapter), request.url))
        return answer()

    with ConnectionManager() as manager, mock.patch("requests.adapters.HTTPAdapter.send", send):
        manager.get("http://api.test/path")
    assert seen == [(True, "http://api.test/path")]
