"""What becomes of a request of the engine: its answer, or the error for its failure.

Holds what both HTTP clients do alike while a request is under way and when it is over. Knows no
HTTP library.
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Mapping, NamedTuple

import anyio

from ..content import parse, text_of
from ..error_detail import response_details
from ..exceptions import ConnectionError, TimeoutError, ValidationError, status_error_class
from ..failure import status_message
from ..redaction import redact_text
from ._outgoing import Outgoing
from .interfaces.base_http_client import BaseHttpClient, withdraw_status

MAX_REDIRECTS = 20
"""As many as httpx follows."""


class Answer(NamedTuple):
    """A final response, its body read and without content encodings."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def refuse_closed(client: BaseHttpClient, closed: bool) -> None:
    """Refuse a request on a client that is closed."""
    if closed:
        name = type(client).__name__
        raise RuntimeError(f"this {name} is closed for good; make a new one, or close it later")


# -- under way -----------------------------------------------------------------------------------


class Progress:
    """How far a request has got.

    :ivar sent: its headers may have reached a server, this one or one that redirected.
    :ivar reused: it is on a connection that had served before.
    """

    __slots__ = ("reused", "sent")

    def __init__(self) -> None:
        self.sent = False
        self.reused = False


async def followed(
    request: Outgoing, send: Callable[[Outgoing], Awaitable[Answer]], follow: bool
) -> Answer:
    """Return the answer to a request, or to that to which it is redirected at last.

    :param send: sends one request.
    :raises HTTPError: when a redirect can't be followed.
    """
    for _ in range(MAX_REDIRECTS + 1):
        answer = await send(request)
        target = request.redirected(answer.status, answer.headers) if follow else None
        if target is None:
            return answer
        last, request = request, target
    raise last.unfollowed(answer.status, answer.headers, f"more than {MAX_REDIRECTS} redirects")


async def in_time(request: Outgoing, progress: Progress, sending: Awaitable[Answer]) -> Answer:
    """Return the answer that ``sending`` brings, the body's last byte included.

    :raises TimeoutError: when the request's timeout is over before.
    """
    try:
        with anyio.move_on_after(request.timeout):
            return await sending
    finally:
        if request.source is not None:
            await request.source.aclose()
    what = "no complete answer" if progress.sent else "it was not sent yet"
    raise TimeoutError(
        f"{request.shown} took longer than {request.timeout:g} s: {what}", sent=progress.sent
    )


def raise_users_own(request: Outgoing) -> None:
    """Raise what the user's own body raised, as it is: no server has part in it."""
    if request.source is not None and request.source.error is not None:
        raise request.source.error


def broken(
    request: Outgoing, error: BaseException, sent: bool, stale: bool = False
) -> ConnectionError:
    """Return our error for trouble of the network.

    :param stale: a connection that had served before died before it brought an answer.
    """
    what = "the connection broke" if sent else "no connection"
    return ConnectionError(f"{request.shown}: {what} ({_told(error)})", sent=sent, stale=stale)


def too_slow(request: Outgoing, error: BaseException, sent: bool) -> TimeoutError:
    """Return our error for a timeout of the library's own."""
    return TimeoutError(f"{request.shown} took too long ({_told(error)})", sent=sent)


def undecodable(request: Outgoing, error: BaseException) -> ValidationError:
    """Return our error for a body that is not compressed as it is labelled."""
    return ValidationError(f"{request.shown}: the body can't be decompressed ({_told(error)})")


def unsendable(request: Outgoing, error: BaseException) -> ValueError:
    """Return the error for a request that the library refuses to send, most often for its URL."""
    return ValueError(f"url or headers can't be sent: {request.shown} ({_told(error)})")


def _told(error: BaseException) -> str:
    text = redact_text(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# -- after ---------------------------------------------------------------------------------------


def result(client: BaseHttpClient, request: Outgoing, answer: Answer) -> Any:
    """Return the data of a successful answer.

    :raises HTTPError: for 4xx and 5xx, with status, headers, body and what they tell.
    :raises ValidationError: for a body that is not what it is labelled.
    """
    client.report(answer.status, answer.headers)
    content_type = answer.headers.get("Content-Type")
    if answer.status >= 400:
        withdraw_status()
        known = response_details(answer.headers, text_of(answer.body, content_type))
        details = {"status_code": answer.status, **known}
        message = status_message(f"{request.shown}: status {answer.status}", details)
        raise status_error_class(answer.status)(message, **details)
    return None if request.method == "HEAD" else parse(answer.body, content_type)


__all__ = [
    "MAX_REDIRECTS",
    "Answer",
    "Progress",
    "broken",
    "followed",
    "in_time",
    "raise_users_own",
    "refuse_closed",
    "result",
    "too_slow",
    "undecodable",
    "unsendable",
]
