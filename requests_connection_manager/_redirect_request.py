"""The request of a redirect that is followed by hand.

Knows requests and origins.
"""

from __future__ import annotations

from typing import Optional

import requests

from .origins import Origin, origin_of


class RedirectRequest(requests.PreparedRequest):
    """The ``next`` request of a redirect, which remembers where its call began.

    Manager-wide credentials go to the first origin only, also when the redirect is followed by
    hand; ``PreparedRequest.copy`` would forget a mere attribute.
    """

    first_origin: Optional[Origin] = None

    def copy(self) -> RedirectRequest:
        """Return a copy that remembers the same."""
        return remember_origin(super().copy(), self.first_origin)


def remember_origin(
    request: requests.PreparedRequest, first_origin: Optional[Origin]
) -> RedirectRequest:
    """Turn ``request`` itself into one that remembers; whoever holds it keeps holding it."""
    request.__class__ = RedirectRequest
    assert isinstance(request, RedirectRequest)
    request.first_origin = first_origin
    return request


def crosses_origin(one: requests.PreparedRequest, other: requests.PreparedRequest) -> bool:
    """Tell whether two requests go to different origins."""
    return origin_of(one.url or "") != origin_of(other.url or "")
