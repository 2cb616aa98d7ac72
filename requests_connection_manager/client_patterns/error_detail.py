"""What an error response says, in one line for people.

Holds :func:`extract_error_detail` and the forms in which services write their errors. Knows
responses by their ``json()``, ``text`` and ``status_code`` only.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Iterable, List, Mapping, Optional

from ..redaction import redact_sensitive_data, redact_text

_LONGEST = 500
# Beyond it nothing is shown, whatever is redacted in it.
_LOOKED_AT = 20 * _LONGEST
_DEEPEST = 4
_UNPRINTABLE = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_MOST_ITEMS = 10


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
    return _shown(text) if isinstance(text, str) else None


def _from_json(response: Any) -> Optional[str]:
    """Return what the JSON of a response says, ``""`` when that is nothing."""
    data = _decoded(response)
    if data in (None, {}, [], ""):
        return ""
    if not isinstance(data, (dict, list, str, int, float)):
        return None  # the double of a response
    found = _problem(data) if _is_problem(response) else None
    return _shown(found or _message(data) or str(redact_sensitive_data(data)))


def _decoded(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        text = response.text
        if isinstance(text, str) and text.startswith("\ufeff"):
            # A byte order mark, which requests leaves in.
            return json.loads(text[1:])
        raise


def _shown(text: str) -> str:
    """Return a text fit to be shown: without secrets, and not too long."""
    # Cut before it is searched, since bodies can be huge, and once more after.
    # One line, whatever the server sends: what is logged must not look like further entries.
    text = redact_text(_UNPRINTABLE.sub(" ", text[:_LOOKED_AT]).strip())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


# -- the forms


def _is_problem(response: Any) -> bool:
    kind = response.headers.get("Content-Type")
    return isinstance(kind, str) and kind.lower().startswith("application/problem+json")


def _problem(data: Any) -> Optional[str]:
    if not isinstance(data, dict):
        return None
    return _text(data.get("detail")) or _text(data.get("title"))


def _message(data: Any, depth: int = 0) -> Optional[str]:
    """Return the message in decoded JSON of any form that is known."""
    if depth > _DEEPEST:
        return None
    if isinstance(data, list):
        return _joined(_item(one, depth + 1) for one in data[:_MOST_ITEMS])
    if not isinstance(data, dict):
        return _text(data)
    return (
        _error(data, depth)
        or _message(data.get("detail"), depth + 1)
        or _message(data.get("message"), depth + 1)
        or _errors(data.get("errors"), depth)
        or _text(data.get("title"))
        or _text(data.get("msg"))
    )


def _error(data: Mapping[str, Any], depth: int) -> Optional[str]:
    error = data.get("error")
    if isinstance(error, (dict, list)):
        return _message(error, depth + 1)
    description = _text(data.get("error_description"))
    return _joined((_text(error), description), ": ")


def _errors(errors: Any, depth: int) -> Optional[str]:
    if isinstance(errors, dict):
        fields = list(errors.items())[:_MOST_ITEMS]
        return _joined(_labelled([name], _message(said, depth + 1)) for name, said in fields)
    return _message(errors, depth + 1) if isinstance(errors, (list, str)) else None


def _item(item: Any, depth: int) -> Optional[str]:
    """Return what one of several errors says, and where."""
    if isinstance(item, dict) and isinstance(item.get("loc"), list):
        return _labelled(item["loc"], _message(item, depth))
    return _message(item, depth)


def _labelled(path: Iterable[Any], text: Optional[str]) -> Optional[str]:
    return f"{'.'.join(map(str, path))}: {text}" if text else None


def _joined(texts: Iterable[Optional[str]], separator: str = "; ") -> Optional[str]:
    found: List[str] = [text for text in texts if text]
    return separator.join(found) or None


def _text(value: Any) -> Optional[str]:
    return value.strip() or None if isinstance(value, str) else None


__all__ = ["extract_error_detail"]
