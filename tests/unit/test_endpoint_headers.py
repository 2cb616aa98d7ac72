"""Headers of an endpoint pattern that are secrets need a pattern that names a host."""

from __future__ import annotations

from typing import Any

import pytest

from requests_connection_manager import AsyncConnectionManager, ConnectionManager

MANAGERS = [ConnectionManager, AsyncConnectionManager]


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "Cookie"])
def test_secret_header_of_any_host_is_refused(manager: Any, name: str) -> None:
    with pytest.raises(ValueError, match="'/v1' does not name a host") as caught:
        manager(endpoint_configs={"/v1": {"headers": {name: "s3cret"}}})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("manager", MANAGERS)
def test_other_headers_of_any_host_and_secrets_of_one_are_fine(manager: Any) -> None:
    manager(
        endpoint_configs={
            "/v1": {"headers": {"Accept": "text/plain"}},
            "api.example.com/v1": {"headers": {"X-Api-Key": "s3cret"}},
        }
    )
