"""Responses of httpx, as the journal of a batch keeps and rebuilds them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Optional

from ..transport import hx
from .items import Item
from .recorder import Parts


class HttpxResponses:
    """What a batch does with the responses of httpx.

    :param client: what builds the requests of rebuilt responses.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def parts(self, response: Any) -> Optional[Parts]:
        """Return what is kept of a response; ``None``: it is something else."""
        if not isinstance(response, hx.Response):
            return None
        elapsed = getattr(response, "_elapsed", None)  # absent while it is not closed
        return Parts(
            response.status_code,
            response.headers,
            getattr(response, "_content", None),
            None if elapsed is None else elapsed.total_seconds(),
            len(getattr(response, "attempts", ())),
        )

    def rebuild(self, item: Item, parts: Parts) -> hx.Response:
        """Return a response that was made of its parts."""
        method, url, kwargs = item
        request = self._client.build_request(method, url, params=kwargs.get("params"))
        response = hx.Response(parts.status, headers=dict(parts.headers), request=request)
        if parts.body is None:
            # A body that is not there can't be read.
            del response._content
        else:
            response._content = parts.body
        response.is_closed = response.is_stream_consumed = True
        response.elapsed = timedelta(seconds=parts.elapsed or 0)
        response.__dict__["attempts"] = ()
        return response

    def discard(self, response: Any) -> None:
        """Nothing: ``request()`` has read the body, and the connection is back already."""


__all__ = ["HttpxResponses"]
