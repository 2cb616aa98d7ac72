"""Headers that listeners put on a single attempt.

Holds :func:`sendable`, which lets through what can do no harm. Knows names of headers, and no HTTP
library.
"""

from __future__ import annotations

from typing import Any, Container, Dict, Mapping, Optional

from ._lazy_regex import lazy_regex
from .events import logger
from .redaction import is_sensitive_field
from .settings import TOKEN

# What says who is asked and where the body ends is the library's business.
_FRAMING = frozenset(
    {
        *("connection", "content-encoding", "content-length", "content-type", "expect", "host"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})

# RFC 9110 section 5.5, of which no library refuses anything.
_VALUE = lazy_regex(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?\Z")


def sendable(
    given: Mapping[Any, Any], present: Container[str], carried: Container[str]
) -> Dict[str, str]:
    """Return those of the headers ``given`` that go out; what is refused is logged.

    :param present: lower-case names of the headers that the request has; they are left alone.
    :param carried: lower-case names of those that an earlier attempt of the call got from here, and
        that a library may have copied from its request.

    >>> sendable({"traceparent": "00-1-2-01", "X-Tag": "new"}, {"x-tag"}, ())
    {'traceparent': '00-1-2-01'}
    """
    kept: Dict[str, str] = {}
    for name, value in dict(given).items():
        fault = _fault(name, value)
        if fault is not None:
            logger.warning("header %.80r of a listener is not sent: %s", name, fault)
        elif name.lower() not in present or name.lower() in carried:
            kept[name] = value
    return kept


def _fault(name: Any, value: Any) -> Optional[str]:
    """Tell what is wrong with a header; ``None``: nothing."""
    if not isinstance(name, str) or not TOKEN.match(name):
        return "that is no name of a header"
    lower = name.lower()
    if lower in _FRAMING or lower in _CREDENTIALS or is_sensitive_field(name):
        return "credentials, the connection and the body are not a listener's to set"
    if not isinstance(value, str) or not _VALUE.match(value):
        return "its value is no text of visible ASCII characters"
    return None


__all__ = ["sendable"]
