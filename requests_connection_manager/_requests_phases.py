"""How far a request had got, told from what requests and urllib3 raise.

Holds :func:`phase_of` and :func:`died_before_answer`. Knows their errors only.
"""

from __future__ import annotations

import ssl
from typing import Any, Optional

import requests
import urllib3.exceptions as urllib3_errors

from .exceptions import ConnectionManagerError
from .outcome import Phase

_LOCAL = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.UnrewindableBodyError,
)


def phase_of(error: Exception) -> Optional[Phase]:
    """Tell from requests' error how far the request had got."""
    if isinstance(error, ConnectionManagerError):
        return None
    if isinstance(error, _LOCAL):
        return Phase.LOCAL
    if isinstance(error, requests.exceptions.SSLError):
        return Phase.UNTRUSTED if _is_verification(error) else Phase.SENT
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError)):
        return Phase.NOT_SENT
    if isinstance(
        error, (requests.ReadTimeout, requests.exceptions.ChunkedEncodingError, requests.Timeout)
    ):
        return Phase.SENT
    if isinstance(error, requests.ConnectionError):
        return _phase_of_connection_error(error)
    if isinstance(error, requests.RequestException):
        return None
    if isinstance(error, (ValueError, TypeError)):
        # What requests and urllib3 say of wrong arguments, a timeout for example.
        return Phase.LOCAL
    # Adapters of others may let through what requests would have wrapped.
    if isinstance(error, (urllib3_errors.HTTPError, ConnectionError, TimeoutError)):
        return Phase.SENT
    return None


_CONNECTING = (urllib3_errors.NewConnectionError, urllib3_errors.ConnectTimeoutError)


def _phase_of_connection_error(error: Exception) -> Phase:
    for cause in _causes(error):
        if isinstance(cause, _CONNECTING):
            return Phase.NOT_SENT
        if isinstance(cause, urllib3_errors.EmptyPoolError):
            return Phase.LOCAL
        if isinstance(cause, urllib3_errors.ClosedPoolError):
            return Phase.NOT_SENT
    return Phase.SENT


def _causes(error: BaseException) -> Any:
    """Walk through the errors that requests and urllib3 wrap into one another."""
    found: Optional[BaseException] = error
    for _ in range(8):
        if found is None:
            return
        yield found
        reason = getattr(found, "reason", None)
        args = [arg for arg in found.args if isinstance(arg, BaseException)]
        found = reason if isinstance(reason, BaseException) else args[-1] if args else None


def _is_verification(error: Exception) -> bool:
    for cause in _causes(error):
        if isinstance(cause, (ssl.CertificateError, ssl.SSLCertVerificationError)):
            return True
    return "certificate verify failed" in str(error) or "doesn't match" in str(error)


def died_before_answer(error: Exception) -> bool:
    """Tell whether the connection ended before a byte of the answer came."""
    return any(
        isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError))
        for cause in _causes(error)
    )


__all__ = ["died_before_answer", "phase_of"]
