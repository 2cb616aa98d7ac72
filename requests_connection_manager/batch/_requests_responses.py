"""Responses of requests, as the journal of a batch keeps and rebuilds them."""

from __future__ import annotations

from datetime import timedelta
from http.client import responses
from typing import Any, Optional

import requests
from requests.structures import CaseInsensitiveDict

from .items import Item
from .recorder import Parts


class RequestsResponses:
    """What a batch does with the responses of requests."""

    def parts(self, response: Any) -> Optional[Parts]:
        """Return what is kept of a response; ``None``: it is something else."""
        if not isinstance(response, requests.Response):
            return None
        # Not .content: that would read the body of a stream which the caller wants to read.
        body = response._content if response._content_consumed else None
        return Parts(
            response.status_code,
            response.headers,
            body if isinstance(body, bytes) else None,
            response.elapsed.total_seconds(),
            len(getattr(response, "attempts", ())),
        )

    def rebuild(self, item: Item, parts: Parts) -> requests.Response:
        """Return a response that was made of its parts."""
        method, url, kwargs = item
        response = requests.Response()
        response.status_code = parts.status
        response.reason = responses.get(parts.status, "")
        response.request = _prepared(method, url, kwargs.get("params"))
        response.url = response.request.url or ""
        response.headers.update(parts.headers)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response.elapsed = timedelta(seconds=parts.elapsed or 0)
        # A body that is not there can't be read, as one that was read already.
        response._content_consumed = True
        response._content = False if parts.body is None else parts.body
        response.__dict__["attempts"] = ()
        return response

    def discard(self, response: Any) -> None:
        """Let go of a response that nobody gets: a stream would keep its connection."""
        if isinstance(response, requests.Response):
            response.close()


def _prepared(method: str, url: Any, params: Any) -> requests.PreparedRequest:
    request = requests.PreparedRequest()
    request.prepare_method(method)
    request.headers = CaseInsensitiveDict()
    try:
        request.prepare_url(url, params)
    except requests.RequestException:  # only a subclass knows what it made of it
        request.url = str(url)
    return request


__all__ = ["RequestsResponses"]
