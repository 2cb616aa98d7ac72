"""What hooks and strategies see of a request.

Holds :class:`BaseRequestModel`; knows nothing of ours.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional


class BaseRequestModel:
    """A request that is about to be made; hooks may change any of it.

    :ivar method: the HTTP method.
    :ivar url: the absolute URL.
    :ivar headers: headers of this request, or ``None``.
    :ivar params: query parameters, or ``None``.
    :ivar data: the body: bytes, text, a form as a mapping or pairs, a file, an iterable of bytes.
    :ivar json_payload: the body as JSON.
    :ivar timeout: seconds for one attempt; ``None``: the HTTP client's default.
    :ivar response_key: the key of the response whose value is wanted, or ``None``: all of it.
    :ivar model: what the response is validated against, or ``None``.
    """

    method: str
    url: str
    headers: Optional[Dict[str, str]]
    params: Optional[Mapping[str, Any]]
    data: Any
    json_payload: Any
    timeout: Optional[float]
    response_key: Optional[str]
    model: Any


__all__ = ["BaseRequestModel"]
