"""What is said of a call that failed for good.

Knows calls and events, no HTTP library.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

from .events import CallFailed
from .exceptions import public_name
from .origins import origin_of
from .outcome import retry_hint
from .redaction import redact_text, redact_url
from .registry import origin_text

if TYPE_CHECKING:
    from .call import Call
    from .core import Core


def status_details(
    core: Core, status: int, headers: Mapping[str, str], body: Optional[str]
) -> Dict[str, Any]:
    """Return what an error keeps of the response that it is about.

    :param headers: looked up without regard to case.
    :param body: the body as text; ``None``: it was not read.
    """
    from .error_detail import response_details  # only now: it loads what reads bodies

    return {
        "status_code": status,
        "retry_after": retry_hint(headers, core.clock.time, status == 429),
        **response_details(headers, body, core.redact),
    }


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
