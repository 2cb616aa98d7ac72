"""The documented helpers for logging without secrets.

Holds the ``safe_log_*`` functions; what is a secret, and how it is hidden, is ``redaction``'s
affair, whose documented names are found here too.
"""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional

from .redaction import (
    is_sensitive_field,
    redact_headers,
    redact_sensitive_data,
    redact_text,
    redact_url,
)

logger = logging.getLogger("requests_connection_manager")


def safe_log_request(
    method: str, url: str, headers: Optional[Dict[str, Any]] = None, payload: Optional[Any] = None
) -> None:
    """Log a request without its secrets: method and URL at INFO, the details at DEBUG.

    :param headers: request headers.
    :param payload: request body in any form: dict, JSON text, form text, bytes.

    >>> safe_log_request("GET", "https://api.test/?api_key=s3cret", {"Authorization": "Bearer x"})
    """
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s %s", method, redact_url(str(url)))
    if logger.isEnabledFor(logging.DEBUG):
        if headers:
            logger.debug("request headers: %s", redact_headers(headers))
        if payload is not None:
            logger.debug("request body: %s", redact_sensitive_data(payload))


def safe_log_response(response: Any) -> None:
    """Log a response without its secrets: status and URL at INFO, the headers at DEBUG.

    :param response: a ``requests.Response`` or ``httpx.Response``. Its body is not touched.
    """
    if logger.isEnabledFor(logging.INFO):
        request = getattr(response, "request", None)
        method = getattr(request, "method", None) or "-"
        logger.info("%s %s -> %s", method, redact_url(str(response.url)), response.status_code)
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("response headers: %s", redact_headers(dict(response.headers)))


def safe_log_error(exception: Exception, method: str, url: str, level: int = logging.ERROR) -> None:
    """Log an error without the secrets that its text may quote.

    :param level: the level, ``logging.ERROR`` by default.
    """
    if logger.isEnabledFor(level):
        logger.log(
            level,
            "%s %s: %s: %s",
            method,
            redact_url(str(url)),
            type(exception).__name__,
            redact_text(str(exception)),
        )


__all__ = [
    "is_sensitive_field",
    "redact_sensitive_data",
    "safe_log_error",
    "safe_log_request",
    "safe_log_response",
]
