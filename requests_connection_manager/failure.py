"""What is said of a call that failed for good.

Knows calls and events, no HTTP library.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from .events import CallFailed
from .exceptions import public_name
from .origins import origin_of
from .redaction import redact_text, redact_url
from .registry import origin_text

if TYPE_CHECKING:
    from .call import Call
    from .core import Core


def status_text(core: Core, method: str, url: str, status: int) -> str:
    """Return the message of an error for a status."""
    phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
    return f"{method} {core.shown(url)}: status {status} {phrase}".rstrip()


_KNOWN = frozenset(HTTPStatus)


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
        core.events.emit(CallFailed(scope, method, shown, public_name(exc), text))
