"""Looking at a response without exceptions."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests

from requests_connection_manager import is_success


def of_requests(status: int) -> Any:
    response = requests.Response()
    response.status_code = status
    return response


@pytest.mark.parametrize("made", [of_requests, httpx.Response])
@pytest.mark.parametrize(
    ("status", "ok_statuses", "expected"),
    [
        (200, (), True),
        (204, (), True),
        (304, (), True),
        (399, (), True),
        (400, (), False),
        (404, (), False),
        (404, {404}, True),
        (404, [410, 404], True),
        (500, {404}, False),
        (503, range(500, 600), True),
    ],
)
def test_below_400_or_expected(made: Any, status: int, ok_statuses: Any, expected: bool) -> None:
    assert is_success(made(status), ok_statuses) is expected


@pytest.mark.parametrize("wrong", [None, 200, "ok", requests.Response()])
def test_what_is_no_response_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"not a {type(wrong).__name__}"):
        is_success(wrong)
