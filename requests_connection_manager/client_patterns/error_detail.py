"""What an error response says, in one line for people.

Holds :func:`extract_error_detail`, which reads a response and leaves its meaning to
``error_detail``. Knows responses by ``json()``, ``text``, ``headers`` and ``status_code`` only.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Optional

from ..error_detail import detail_in_json, shown


def extract_error_detail(response: Any) -> str:
    """Return the message in an error response.

    It is looked for in these places, and the first one found is returned: ``detail`` and ``title``
    of problem details (RFC 9457), ``error.message``, ``error`` as a string (with its
    ``error_description``, RFC 6749), ``detail`` (FastAPI's list too), ``message``, ``errors``;
    else it is the body itself, and ``"HTTP 404"`` where that is empty.

    :param response: a ``requests.Response`` or an ``httpx.Response``. The body is read, except that
        of a streamed httpx response, which has to be read before.
    :returns: at most 500 characters, without secrets. Never raises, whatever the response holds.

    As safe to use from several threads as the response is.

    >>> import requests
    >>> response = requests.Response()
    >>> response.status_code, response._content = 404, b'{"error": {"message": "no such order"}}'
    >>> extract_error_detail(response)
    'no such order'
    """
    detail = _safely(_from_json, response)
    if detail is None:
        detail = _safely(_from_text, response)
    return detail or _safely(_from_status, response) or "HTTP error"


def _safely(read: Callable[[Any], Optional[str]], response: Any) -> Optional[str]:
    try:
        return read(response)
    except Exception:  # whatever a broken body, or the double of a response, raises
        return None


def _from_status(response: Any) -> Optional[str]:
    status = response.status_code
    return f"HTTP {status:d}" if isinstance(status, int) else None


def _from_text(response: Any) -> Optional[str]:
    text = response.text
    return shown(text) if isinstance(text, str) else None


def _from_json(response: Any) -> Optional[str]:
    """Return what the JSON of a response says, ``""`` when that is nothing."""
    data = _decoded(response)
    if data is not None and not isinstance(data, (dict, list, str, int, float)):
        return None  # the double of a response
    headers = getattr(response, "headers", None)
    return detail_in_json(data, None if headers is None else headers.get("Content-Type"))


def _decoded(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        text = response.text
        if isinstance(text, str) and text.startswith("\ufeff"):
            # A byte order mark, which requests leaves in.
            return json.loads(text[1:])
        raise


__all__ = ["extract_error_detail"]
