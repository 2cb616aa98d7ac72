"""Public type aliases and protocols.

Holds names that signatures are written in. ``httpx.Response`` is named for type checkers only, so
that httpx is not imported; requests is, since Python 3.8 can't resolve a name inside an alias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Protocol, Tuple, Union

import requests

if TYPE_CHECKING:
    import httpx

EndpointConfig = Dict[str, Any]
"""Settings of one endpoint pattern, as given to ``add_endpoint_config``."""

RequestData = Tuple[str, str, Dict[str, Any]]
"""One call of a batch: ``(method, url, kwargs)``."""

BatchResults = List[Union[requests.Response, Exception]]
"""What ``ConnectionManager.batch_request`` returns, in input order."""

AsyncBatchResults = List[Union["httpx.Response", Exception]]
"""What ``AsyncConnectionManager.batch_request`` returns, in input order."""


class Clock(Protocol):
    """Where time comes from, and how it is waited for.

    ``SystemClock`` is the real one; ``requests_connection_manager.testing.VirtualClock`` makes
    every wait instant. Implementations must be safe to use from several threads and tasks.
    """

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""

    def time(self) -> float:
        """Return seconds since the epoch, for dates that servers send."""

    def sleep(self, seconds: float, /) -> None:
        """Block the calling thread for ``seconds``."""

    async def asleep(self, seconds: float, /) -> None:
        """Suspend the calling task for ``seconds``, on asyncio or trio."""
