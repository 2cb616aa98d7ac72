"""What is said of a call that failed for good.

Knows calls and events, no HTTP library.
"""

from __future__ import annotations

import base64
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional

from .events import CallFailed
from .exceptions import public_name
from .origins import origin_of, origin_text
from .outcome import retry_hint
from .redaction import is_sensitive_field, redact_text, redact_url, redact_values

if TYPE_CHECKING:
    from .call import Call
    from .core import Core


def status_details(
    core: Core, status: int, headers: Mapping[str, str], body: Optional[str], request: Any = None
) -> Dict[str, Any]:
    """Return what an error keeps of the response that it is about.

    :param headers: looked up without regard to case.
    :param body: the body as text; ``None``: it was not read.
    :param request: as it was sent; what the server echoes of its secrets is not shown.
    """
    from .error_detail import response_details  # only now: it loads what reads bodies

    return {
        "status_code": status,
        "retry_after": retry_hint(headers, core.clock.time, status == 429),
        **response_details(headers, body, _redactor(core, request)),
    }


def _redactor(core: Core, request: Any) -> Callable[[str], str]:
    secrets = list(_secrets_in(getattr(request, "headers", None)))
    return lambda text: redact_values(core.redact(text), secrets)


def _secrets_in(headers: Any) -> Iterator[str]:
    """Yield the values of headers that are secrets, whoever gave them."""
    # Doubles of requests have anything.
    for name, value in headers.items() if isinstance(headers, Mapping) else ():
        if not isinstance(value, str) or not is_sensitive_field(name):
            continue
        parts = re.split(r"[;,=\s]+", value)
        yield from (part for part in (value, *parts) if len(part) >= _LEAST_SECRET)
        yield from _password(value)


# Shorter ones are words of other texts as well: the schemes of Authorization, names of cookies.
_LEAST_SECRET = 8


def _password(value: str) -> Iterator[str]:
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            yield base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")[2]
        except ValueError:
            pass  # a server would not understand it either


def status_message(beginning: str, details: Mapping[str, Any]) -> str:
    """Return the message of an error for a status.

    :param beginning: what happened, up to ``status 503``.
    :param details: what :func:`status_details` returned.

    >>> known = {"status_code": 503, "detail": "in maintenance", "request_id": "req-7"}
    >>> status_message("GET https://api.test/: status 503", known)
    'GET https://api.test/: status 503 Service Unavailable: in maintenance (request id req-7)'
    """
    phrase = _PHRASES.get(details["status_code"], "")
    detail, number = details["detail"] or "", details["request_id"]
    text = f"{beginning} {phrase}".rstrip()
    # Many say no more than what the status does.
    if detail and detail.casefold() != phrase.casefold():
        text += f": {detail}"
    return f"{text} (request id {number})" if number else text


_PHRASES = {int(one): one.phrase for one in HTTPStatus}


def attach_history(exc: Exception, call: Call) -> None:
    """Put the history of attempts on an error of the library's own."""
    known, history = getattr(exc, "attempts", ()), tuple(call.attempts)
    # An error that was built inside an attempt knows of those before it only.
    if len(known) < len(history) and history[: len(known)] == known:
        exc.attempts = history  # type: ignore[attr-defined]  # added by us


def report_failure(core: Core, exc: Exception, method: str, url: str) -> None:
    """Tell the event stream that a call failed for good."""
    if core.events.wants(CallFailed):
        # First of all the known secrets: libraries quote the URL that was sent, with an API key
        # under a name that tells nothing.
        scope, url, text = origin_text(origin_of(url)), core.redact(url), core.redact(str(exc))
        shown = redact_url(url)
        # A URL without a scheme can't be told from other text, so it is replaced as a whole.
        text = redact_text(text.replace(url, shown) if url else text)
        core.events.emit(CallFailed(scope, core.shown(method), shown, public_name(exc), text))
