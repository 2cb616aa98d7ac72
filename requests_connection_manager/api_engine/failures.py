"""What went wrong, in the engine's terms, whatever an HTTP client raised.

Holds :func:`understood`, which turns errors of libraries into the package's, and
:data:`FLAVOURS`, what the pipeline raises for the engine. Knows httpx, aiohttp and requests by the
errors of a client that uses them, and loads none of them.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import sys
from typing import Any, List, Optional

from .. import exceptions as ours
from ..certificates import is_verification
from ..flavours import Flavours
from ..outcome import Phase
from ..redaction import redact_text


class EngineMaxRetriesStatus(ours.MaxRetriesExceeded, ours.HTTPError):
    """Retries ended by an error status."""


class EngineMaxRetriesThrottled(ours.MaxRetriesExceeded, ours.TooManyRequests):
    """Retries ended by a 429."""


class EngineMaxRetriesTimeout(ours.MaxRetriesExceeded, ours.TimeoutError):
    """Retries ended by a timeout."""


class EngineMaxRetriesNetwork(ours.MaxRetriesExceeded, ours.ConnectionError):
    """Retries ended by a network error."""


FLAVOURS = Flavours(
    refusals={
        ours.CircuitBreakerOpen: ours.CircuitBreakerOpen,
        ours.RateLimitExceeded: ours.RateLimitExceeded,
        ours.DeadlineExceeded: ours.DeadlineExceeded,
    },
    by_error=(
        (ours.TimeoutError, EngineMaxRetriesTimeout),
        (ours.ConnectionError, EngineMaxRetriesNetwork),
    ),
    status=EngineMaxRetriesStatus,
    throttled=EngineMaxRetriesThrottled,
    other=ours.MaxRetriesExceeded,
    answers={},
)

# What another pipeline below has decided already, and what says nothing about the network.
_FINAL = (
    ours.MaxRetriesExceeded,
    ours.CircuitBreakerOpen,
    ours.RateLimitExceeded,
    ours.DeadlineExceeded,
    ours.ValidationError,
)


def understood(error: Exception) -> Optional[ours.ConnectionManagerError]:
    """Return the package's error for what a client raised; ``None``: it is not about sending."""
    if isinstance(error, ours.ConnectionManagerError):
        return error
    status = _status_of(error)
    if status is not None:
        return _http_error(error, status)
    phase = _phase_of(error)
    if phase is None or phase is Phase.LOCAL:
        return None
    late = isinstance(error, _LATE) or "Timeout" in _names(error)
    kind = ours.TimeoutError if late else ours.ConnectionError
    text = redact_text(str(error))
    name = type(error).__name__
    return kind(f"{name}: {text}" if text else name, sent=phase is Phase.SENT)


def phase_of(error: Exception) -> Optional[Phase]:
    """Tell how far the request had got when one of the package's errors was raised."""
    if isinstance(error, _FINAL):
        return None
    if not isinstance(error, (ours.ConnectionError, ours.TimeoutError)):
        return None
    if error.sent is not False:
        return Phase.SENT
    return Phase.UNTRUSTED if is_verification(error) else Phase.NOT_SENT


def is_final(error: Exception) -> bool:
    """Tell whether another pipeline has had its say, so that nothing is left to decide."""
    return isinstance(error, _FINAL)


def follow(error: Exception, earlier: Exception) -> None:
    """Show below ``error`` what an attempt before it came to, as ``except`` clauses would do.

    Errors of the package tell it themselves.
    """
    known, chain = _chain(earlier), _chain(error)
    if not any(isinstance(one, ours.ConnectionManagerError) or one in known for one in chain):
        chain[-1].__context__ = earlier


def _chain(error: BaseException) -> List[BaseException]:
    """Return an error and what led to it, as a traceback shows them."""
    chain: List[BaseException] = []
    found: Optional[BaseException] = error
    while found is not None and found not in chain:
        chain.append(found)
        found = found.__cause__ or found.__context__
    return chain


def _http_error(error: Exception, status: int) -> ours.HTTPError:
    response: Any = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or getattr(error, "headers", None)
    return ours.status_error_class(status)(
        f"status {status}", status_code=status, headers=headers, body=_text_of(response)
    )


def _status_of(error: Exception) -> Optional[int]:
    """Return the status in an error of ``raise_for_status``."""
    response: Any = getattr(error, "response", None)
    for found in (getattr(response, "status_code", None), getattr(error, "status", None)):
        if isinstance(found, int) and 400 <= found <= 599:
            return found
    return None


def _text_of(response: Any) -> Optional[str]:
    try:
        text = getattr(response, "text", None)
    except Exception:  # httpx: the body of a stream that nobody has read
        return None
    return text if isinstance(text, str) else None


def _names(error: Exception) -> str:
    return " ".join(cls.__name__ for cls in type(error).__mro__)


# Three classes before Python 3.11, one since.
_LATE = (TimeoutError, asyncio.TimeoutError, socket.timeout)
_NOT_SENT = (ConnectionRefusedError, socket.gaierror, socket.herror)
# How connect() says that there is no way to the server; there is no class for these.
_NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_SENT = (*_LATE, ConnectionError, ssl.SSLError, EOFError)


def _phase_of(error: Exception) -> Optional[Phase]:
    library = type(error).__module__.split(".")[0]
    if library in ("httpx", "httpcore"):
        from .._httpx_hop import phase_of as phase_of_httpx

        return phase_of_httpx(error)
    if library == "requests":
        from .._requests_phases import phase_of as phase_of_requests

        return phase_of_requests(error)
    if library == "aiohttp":
        return _phase_of_aiohttp(error)
    if is_verification(error):
        return Phase.UNTRUSTED
    if isinstance(error, _NOT_SENT) or (isinstance(error, OSError) and error.errno in _NO_WAY):
        return Phase.NOT_SENT
    return Phase.SENT if isinstance(error, _SENT) else None


def _phase_of_aiohttp(error: Exception) -> Optional[Phase]:
    aiohttp: Any = sys.modules["aiohttp"]
    if isinstance(error, aiohttp.InvalidURL):
        return Phase.LOCAL
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError)):
        return Phase.UNTRUSTED if is_verification(error) else Phase.NOT_SENT
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Phase.UNTRUSTED
    if "ConnectionTimeoutError" in _names(error):
        return Phase.NOT_SENT
    wire = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
    return Phase.SENT if isinstance(error, wire) else None
