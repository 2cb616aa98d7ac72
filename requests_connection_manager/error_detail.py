"""What the body and the headers of an error response say, in short and without secrets.

Holds the forms in which services write their errors, and the headers in which they number their
requests. Works on a status, headers and text or decoded JSON; must not know responses or an HTTP
library.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

from .redaction import redact_sensitive_data, redact_text

REQUEST_ID_HEADERS = (
    "X-Request-Id",
    "Request-Id",
    "X-Amzn-RequestId",
    "X-Amz-Request-Id",
    "X-Ms-Request-Id",
    "X-GitHub-Request-Id",
    "X-Correlation-Id",
    "X-Trace-Id",
    "CF-Ray",
)
"""Where servers tell by which number they know a request; the first that is there counts."""

_LONGEST = 500
_LONGEST_ID = 200
# Beyond it nothing is shown, whatever is redacted in it.
_LOOKED_AT = 20 * _LONGEST
# Errors of this size hold no message for people, and to decode them takes its time.
_LARGEST_JSON = 1_000_000
_DEEPEST = 4
_UNPRINTABLE = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_MOST_ITEMS = 10

Redact = Callable[[str], str]


def response_details(
    headers: Mapping[str, str], body: Optional[str], redact: Redact = str
) -> Dict[str, Any]:
    """Return what an error keeps of the headers and the body of a response.

    :param headers: looked up without regard to case.
    :param body: the body, decoded; ``None``: it was not read.
    :param redact: hides secrets that the caller knows of, in what is meant to be shown.

    >>> response_details({"CF-Ray": "8f"}, None)
    {'headers': {'CF-Ray': '8f'}, 'body': None, 'request_id': '8f', 'detail': None}
    """
    return {
        "headers": headers,
        "body": body,
        "request_id": request_id(headers, redact),
        "detail": error_detail(body, headers.get("Content-Type"), redact),
    }


def request_id(headers: Mapping[str, str], redact: Redact = str) -> Optional[str]:
    """Return the server's name for a request, from the first of :data:`REQUEST_ID_HEADERS`.

    :param headers: the response's headers, looked up without regard to case.
    :param redact: hides secrets that the caller knows of.

    >>> request_id({"X-Request-Id": "req-7"})
    'req-7'
    """
    for name in REQUEST_ID_HEADERS:
        value = headers.get(name)
        if isinstance(value, str) and value.strip():
            return shown(value, redact, _LONGEST_ID)
    return None


def error_detail(
    body: Optional[str], content_type: Optional[str], redact: Redact = str
) -> Optional[str]:
    """Return what the body of an error says; ``None``: nothing for people.

    JSON is read by its form, whatever it is labelled; other text is taken as it is, and markup
    (HTML, XML) is left alone. At most 500 characters in one line, without secrets. Never raises.

    :param body: the body, decoded; ``None``: it was not read.
    :param content_type: the header's value, or ``None``.
    :param redact: hides secrets that the caller knows of.

    >>> error_detail('{"title": "Out of credit", "status": 402}', "application/problem+json")
    'Out of credit'
    >>> error_detail("<h1>Bad Gateway</h1>", "text/html")
    """
    # Doubles of responses have anything for a body.
    text = body.lstrip("\ufeff \t\r\n") if isinstance(body, str) else ""
    if text[:1] in ("{", "[", '"') and len(text) <= _LARGEST_JSON:
        try:
            return detail_in_json(json.loads(text), content_type, redact) or None
        except (ValueError, RecursionError):
            pass  # it only looked like JSON
    if text[:1] == "<" or _is_binary(content_type):
        return None
    return shown(text, redact) or None


def detail_in_json(data: Any, content_type: Optional[str], redact: Redact = str) -> str:
    """Return what decoded JSON says, ``""`` when that is nothing.

    >>> detail_in_json({"errors": {"name": ["is too long"]}}, "application/json")
    'name: is too long'
    """
    if data in (None, {}, [], ""):
        return ""
    found = _problem(data) if _is_problem(content_type) else None
    return shown(found or _message(data) or str(redact_sensitive_data(data)), redact)


def shown(text: str, redact: Redact = str, longest: int = _LONGEST) -> str:
    r"""Return a text fit to be shown: one line, without secrets, and not too long.

    >>> shown("no\nsuch  order; token=hunter2")
    'no such order; token=[REDACTED]'
    """
    # Cut before it is searched, since bodies can be huge, and once more after.
    # One line, whatever the server sends: what is logged must not look like further entries.
    text = redact_text(_UNPRINTABLE.sub(" ", redact(text[:_LOOKED_AT])).strip())
    return text if len(text) <= longest else text[: longest - 1] + "…"


# -- the forms


def _is_problem(content_type: Any) -> bool:
    if not isinstance(content_type, str):
        return False
    return content_type.lower().startswith("application/problem+json")


_BINARY = re.compile(
    r"\s*(?:image|audio|video|font)/|\s*application/(?:octet-stream|pdf|zip|gzip|wasm)", re.I
)


def _is_binary(content_type: Any) -> bool:
    return isinstance(content_type, str) and _BINARY.match(content_type) is not None


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


__all__ = [
    "REQUEST_ID_HEADERS",
    "detail_in_json",
    "error_detail",
    "request_id",
    "response_details",
    "shown",
]
