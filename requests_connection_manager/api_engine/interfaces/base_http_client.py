"""What sends a request for the engine.

Holds :class:`BaseHttpClient`, and the place where a client reports the status and the headers of
an answer. Knows no HTTP library.
"""

from __future__ import annotations

import contextvars
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Mapping, Optional, Type, TypeVar

Self = TypeVar("Self", bound="BaseHttpClient")


class Answer:
    """What is known of the answer to one attempt beside its data.

    :ivar status_code: its status, or ``None`` when the client has not reported one.
    :ivar headers: its headers, or ``None``.
    """

    __slots__ = ("headers", "status_code")

    def __init__(self) -> None:
        self.status_code: Optional[int] = None
        self.headers: Optional[Mapping[str, str]] = None


current_answer: contextvars.ContextVar[Optional[Answer]] = contextvars.ContextVar(
    "requests_connection_manager_answer", default=None
)
"""The answer to the attempt that is under way."""


def withdraw_status() -> None:
    """Take a reported status back, for an error that is about to be raised has it.

    Who catches that error, to return data instead, means a success.
    """
    answer = current_answer.get()
    if answer is not None:
        answer.status_code = None


class BaseHttpClient(ABC):
    """Sends one request and returns the data of its response; never retries.

    It says what went wrong with ``ApiHttpError`` (with ``status_code``, ``headers`` and ``body``),
    ``ApiTimeoutError``, ``ApiNetworkError`` (both with ``sent=False`` when the server can't have
    seen the request, which makes any method worth a retry; ``stale=True`` when a kept-alive
    connection was dead, which is replaced at no cost) and ``ApiValidationError``. Errors of httpx,
    aiohttp, requests and of sockets are understood as well. A client that reports a status from 400
    on and returns data means the ``ApiHttpError`` with that status, and the data as its ``body``.

    >>> class Canned(BaseHttpClient):
    ...     async def request(self, method, url, headers=None, params=None, data=None,
    ...                       json_payload=None, timeout=None):
    ...         self.report(200, {"X-RateLimit-Remaining": "7"})
    ...         return {"data": [1, 2, 3]}
    """

    @abstractmethod
    async def request(
        self,
        method: str,
        url: str,
        headers: Any = None,
        params: Any = None,
        data: Any = None,
        json_payload: Any = None,
        timeout: Any = None,
    ) -> Any:
        """Send a request and return the data of the response.

        Typed loosely, so that a client of yours may declare what it takes as it likes:
        ``Optional[Mapping[str, str]]``, ``Optional[Dict[str, str]]`` or nothing at all.

        :param method: in capitals.
        :param headers: a ``dict`` of ``str`` to ``str``, or ``None``.
        :param params: what ``call_api`` was given for the query: most often a mapping or ``None``.
        :param data: the body, as ``call_api`` was given it.
        :param json_payload: the body as JSON; not together with ``data``.
        :param timeout: seconds (``int`` or ``float``) for the whole request; ``None``: the client's
            default.
        """

    def report(self, status_code: int, headers: Mapping[str, str]) -> None:
        """Tell the strategy what came, so that its rate limit headers count; no duty.

        :param headers: looked up without regard to case, where the client can do so.
        :raises TypeError: for a status that is no ``int``.
        """
        if not isinstance(status_code, int):
            raise TypeError(f"status_code must be an int such as 200, not {status_code!r}")
        answer = current_answer.get()
        if answer is not None:
            answer.status_code, answer.headers = status_code, headers

    async def close(self) -> None:  # noqa: B027  # some hold nothing
        """Give back what the client holds; nothing by default."""

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()


__all__ = ["Answer", "BaseHttpClient", "current_answer", "withdraw_status"]
