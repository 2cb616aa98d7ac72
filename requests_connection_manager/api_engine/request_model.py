"""A request to the engine, as data.

Holds :class:`ApiRequestModel` and its checks, which run after the hooks. Knows no HTTP library.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional
from urllib.parse import urlsplit

from ..redaction import redact_headers, redact_text, redact_url
from ..settings import TOKEN
from ..validation import check_model
from .interfaces.base_request_model import BaseRequestModel


@dataclass(repr=False)
class ApiRequestModel(BaseRequestModel):
    """A request that is about to be made; its ``repr`` shows no secret and no body.

    :param timeout: seconds for one attempt; ``None``: the HTTP client's default.

    The other parameters are those of ``ApiClient.call_api``.

    >>> ApiRequestModel("GET", "https://api.test/?token=abc", headers={"X-API-Key": "abc"})
    <ApiRequestModel GET https://api.test/?token=[REDACTED] headers={'X-API-Key': '[REDACTED]'}>
    """

    method: str
    url: str
    headers: Optional[Dict[str, str]] = None
    params: Optional[Mapping[str, Any]] = None
    data: Any = None
    json_payload: Any = None
    timeout: Optional[float] = None
    response_key: Optional[str] = None
    model: Any = None

    def __repr__(self) -> str:
        shown = f" headers={redact_headers(self.headers)!r}" if self.headers else ""
        return f"<{type(self).__name__} {self.method} {redact_url(str(self.url))}{shown}>"


def check_request(request: BaseRequestModel) -> None:
    """Refuse what can't be sent, whoever wrote it into the request.

    :raises TypeError: for a value of the wrong type, naming the field.
    :raises ValueError: for a value out of range, naming the field.
    :raises ImportError: for a model without pydantic.
    """
    _check_method(request.method)
    _check_url(request.url)
    if request.headers is not None:
        check_headers(request.headers)
    if request.timeout is not None:
        _check_timeout(request.timeout)
    if request.response_key is not None and not isinstance(request.response_key, str):
        raise TypeError(f"response_key must be a str or None, not {request.response_key!r}")
    if request.model is not None:
        check_model(request.model)
    if request.data is not None and request.json_payload is not None:
        raise ValueError("give data or json_payload, not both: a request has one body")


def _check_method(method: Any) -> None:
    if not isinstance(method, str):
        raise TypeError(f"method must be a str such as 'GET', not {method!r}")
    if not TOKEN.match(method):
        raise ValueError(f"method must be a name such as 'GET', not {method!r}")


def _check_url(url: Any) -> None:
    wanted = "url must be an absolute http(s) URL"
    if not isinstance(url, str):
        raise TypeError(f"{wanted}, not {redact_text(repr(url))}")
    fault = _fault(url)
    if fault is not None:
        raise ValueError(f"{wanted}, not {redact_url(url)!r}{fault}")


# Some are dropped by urlsplit, others would end the request line; half a surrogate is no text.
_NOT_IN_URLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def _fault(url: str) -> Optional[str]:
    """Tell what is wrong with a URL; ``None``: nothing.

    Spaces in its path and query are right: clients quote them, as they do with other text.
    """
    if _NOT_IN_URLS.search(url):
        return ": it has control characters, which must be quoted"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # Its text may quote a password.
        return ": its host or its port is not valid"
    if " " in parts.netloc or url != url.strip():
        return ": it has spaces around it or in its host"
    if parts.scheme.lower() not in ("http", "https") or not host:
        return ""
    return ": its port is not valid" if port == 0 else None


# RFC 9110 section 5.5; Python's own text is sent as UTF-8.
_VALUE = re.compile("[^\x00-\x08\x0a-\x1f\x7f]*\\Z")


def check_headers(headers: Any) -> None:
    """Refuse headers that HTTP does not have; the error has no value of theirs.

    :raises TypeError: when they are no mapping of text to text.
    :raises ValueError: for a name that is no token, or a value with control characters.
    """
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping or None, not a {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"header {name!r} must be a str with a str as its value")
        if not TOKEN.match(name):
            raise ValueError(f"headers: {name!r} is no name of a header")
        if not _VALUE.match(value):
            raise ValueError(f"headers: the value of {name!r} has control characters")


def _check_timeout(timeout: Any) -> None:
    wanted = "timeout must be a number of seconds above 0, or None"
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"{wanted}, not {timeout!r}")
    if not timeout > 0 or math.isinf(timeout):
        raise ValueError(f"{wanted}, not {timeout!r}")


__all__ = ["ApiRequestModel", "check_headers", "check_request"]
