"""Running the pipeline on an HTTP client of the engine.

Holds :class:`EngineHop`, which sends through a ``BaseHttpClient``, and what an attempt brings.
Knows no HTTP library; decides nothing.
"""

from __future__ import annotations

import inspect
import json
from typing import Any, Awaitable, Callable, Dict, Mapping, NamedTuple, Optional, Type, TypeVar

import anyio
import anyio.to_thread

from ..admission import deadline_exceeded, limiter_refusal
from ..call import Call
from ..content import text_of
from ..core import Core
from ..error_detail import response_details
from ..exceptions import (
    ConnectionError,
    ConnectionManagerError,
    HTTPError,
    ValidationError,
    status_error_class,
)
from ..failure import status_message
from ..hop import Hop
from ..outcome import QUOTA_HEADERS, Outcome, Phase, retry_hint
from ..policies.circuit_breaker import Breaker
from ..policies.deadline import tighter
from ..policies.rate_limit import RateLimiter
from . import failures
from ._body import is_replayable, position, rewind
from .interfaces.base_http_client import Answer, BaseHttpClient, current_answer
from .interfaces.base_rate_limiter import BaseRateLimiter
from .interfaces.base_request_model import BaseRequestModel

T = TypeVar("T")


class Stages(NamedTuple):
    """What the calls of a strategy go through.

    :ivar limiter: one that the pipeline can ask.
    :ivar queue: one that can only be waited for.
    """

    http: BaseHttpClient
    breaker: Optional[Breaker]
    limiter: Optional[RateLimiter]
    queue: Optional[BaseRateLimiter]


class Received(NamedTuple):
    """What an attempt brought: data, or the error for an unsuccessful status."""

    data: Any
    status: int
    headers: Mapping[str, str]
    error: Optional[HTTPError]


class EngineHop(Hop[Received]):
    """One call of the engine, sent through a client of its strategy.

    :ivar trouble: what the latest attempt failed with.
    """

    def __init__(self, core: Core, stages: Stages, call: Call, request: BaseRequestModel) -> None:
        self.call = call
        self.clock = core.clock
        self.events = core.events
        self.request = request
        self.method = request.method.upper()
        self.url = core.shown(request.url)
        scope = core.scope(call.configuration, request.url)
        settings, self.retry = call.settings_for(scope.policy)
        self.enter(scope, settings)
        # A single call can only leave these stages out.
        on = "circuit_breaker_failure_threshold" not in call.overrides
        self.breaker = stages.breaker if on else None
        on = "rate_limit_requests" not in call.overrides
        self.limiter, self._queue = (stages.limiter, stages.queue) if on else (None, None)
        self.queues_elsewhere = self._queue is not None
        self.trouble: Optional[Exception] = None
        self._http = stages.http
        self._present = frozenset(name.lower() for name in request.headers or ())
        self.keyed = self.needs_key(self._present)
        self._position = position(request.data)
        self._sends = 0

    # -- the verbs of the pipeline

    async def queue_elsewhere(self) -> None:
        assert self._queue is not None
        allowed = await self._in_time(lambda: awaited(self._queue, "acquire"))
        if allowed is False:
            raise limiter_refusal(self, f"refused by {type(self._queue).__name__}")

    async def send(self) -> Received:
        answer = Answer()
        self._sends += 1
        if self._sends > 1:
            rewind(self.request.data, self._position)
        kwargs = self._kwargs()
        self.sent = True
        token = current_answer.set(answer)
        try:
            data = await self._in_time(lambda: awaited(self._http, "request", **kwargs))
        except Exception as exc:
            return self._unsuccessful(answer, exc)
        finally:
            current_answer.reset(token)
        _refuse_unread(self._http, data)
        status, headers = answer.status_code or 200, Headers(answer.headers or {})
        self.trouble = error = self._reported(status, answer, data) if status >= 400 else None
        return Received(data, status, headers, error)

    def _unsuccessful(self, answer: Answer, error: Exception) -> Received:
        """Return the answer that an error stands for, or raise what it means."""
        known = failures.understood(error)
        if known is None or failures.is_final(known):
            raise error
        status = known.status_code if isinstance(known, HTTPError) else None
        if isinstance(known, HTTPError) and isinstance(status, int):
            known = _specific(known, status, answer)
            if known is not error:
                known.__cause__ = error
            self.trouble = known
            return Received(None, status, Headers(known.headers or {}), known)
        self.trouble = known
        if known is error:
            raise error
        raise known from error

    def _reported(self, status: int, answer: Answer, data: Any) -> HTTPError:
        """Return the error that a client left to us."""
        headers = answer.headers or {}
        body = _text_of(data, Headers(headers).get("Content-Type"))
        known = {**response_details(Headers(headers), body), "headers": headers}
        details = {"status_code": status, **known}
        message = status_message(f"{self.method} {self.url}: status {status}", details)
        return status_error_class(status)(message, **details)

    def _kwargs(self) -> Dict[str, Any]:
        request = self.request
        headers = None if request.headers is None else dict(request.headers)
        listeners = self.headers_of_listeners(self._present)
        if listeners:
            headers = {**listeners, **(headers or {})}
        if self.keyed and str(self.settings.idempotency_key_header).lower() not in self._present:
            headers = {
                **(headers or {}),
                str(self.settings.idempotency_key_header): self.call.idempotency_key(),
            }
        timeout = request.timeout
        if self.call.deadline is not None and timeout is not None:
            timeout = tighter(timeout, self.call.deadline)
        return {
            "method": self.method,
            "url": request.url,
            "headers": headers,
            "params": request.params,
            "data": request.data,
            "json_payload": request.json_payload,
            "timeout": timeout,
        }

    async def _in_time(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do what somebody else's code does, within the deadline of the call."""
        deadline = self.call.deadline
        if deadline is None:
            return await act()
        with anyio.move_on_after(deadline.remaining()):
            try:
                return await act()
            except Exception as exc:
                # The client's own timeout ends at the same moment, and may be noticed first.
                if deadline.expired():
                    raise deadline_exceeded(self) from exc
                raise
        raise deadline_exceeded(self)

    async def sleep(self, seconds: float) -> None:
        await self.clock.asleep(seconds)

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        return await anyio.to_thread.run_sync(function, *args)

    async def settle(self, response: Received) -> None:
        """Do nothing: clients return when all of the body is read."""

    def status(self, response: Received) -> int:
        return response.status

    def telling_headers(self, response: Received) -> Optional[Mapping[str, str]]:
        if response.status < 400 and QUOTA_HEADERS.isdisjoint(response.headers):
            return None
        return response.headers

    def phase(self, error: Exception) -> Optional[Phase]:
        return failures.phase_of(error)

    def stale(self, error: Exception) -> bool:
        return isinstance(error, ConnectionError) and error.stale

    async def replace_connection(self) -> None:
        """Do nothing: a client drops a connection that died."""

    def replayable(self) -> bool:
        return is_replayable(self.request.data)

    def deliver(self, response: Received) -> Received:
        error = response.error
        if error is None:
            return response
        error.attempts = tuple(self.call.attempts)
        error.request = self.request
        if getattr(error, "retry_after", None) is None:
            throttled = response.status == 429
            hint = retry_hint(response.headers, self.clock.time, throttled)
            error.__dict__["retry_after"] = hint  # as the managers' errors have it, of any status
        raise error

    def error(
        self,
        kind: Type[ConnectionManagerError],
        message: str,
        outcome: Optional[Outcome] = None,
        response: Optional[Received] = None,
        **details: Any,
    ) -> ConnectionManagerError:
        cause = None if response is None else response.error
        if cause is not None:
            known = {name: getattr(cause, name) for name in _OF_RESPONSES}
            message = status_message(message, known)
            details.update(known)
        sent = None if outcome is None else getattr(outcome.error, "sent", None)
        if sent is not None:
            details["sent"] = sent
        error = failures.FLAVOURS.pick(kind, outcome)(
            message,
            request=self.request,
            attempts=tuple(self.call.attempts),
            **details,
        )
        if cause is not None:
            error.__cause__ = cause
        return error


_OF_RESPONSES = ("status_code", "headers", "body", "detail", "request_id")


class Headers(Dict[str, str]):
    """Headers as the pipeline looks them up: without regard to case.

    >>> Headers({"Retry-After": "7"}).get("retry-after")
    '7'
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__((str(name).lower(), str(value)) for name, value in headers.items())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a header."""
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())


async def awaited(owner: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """Return what a coroutine method of the user's returns.

    :raises TypeError: when it is an ordinary method.
    """
    result = getattr(owner, name)(*args, **kwargs)
    if not inspect.isawaitable(result):
        raise TypeError(
            f"{type(owner).__name__}.{name} must be 'async def', but it returned a "
            f"{type(result).__name__}"
        )
    return await result


def _specific(error: HTTPError, status: int, answer: Answer) -> HTTPError:
    """Return the error with all that belongs to it: class, headers and body."""
    cls = status_error_class(status)
    if type(error) is HTTPError and cls is not HTTPError:
        error = cls(*error.args, **error.__dict__)
    if error.headers is None:
        error.headers = answer.headers or {}
    if error.body is None:
        error.body = ""
    if error.detail is None and error.request_id is None:
        known = response_details(Headers(error.headers), error.body)
        error.detail, error.request_id = known["detail"], known["request_id"]
    return error


def _text_of(data: Any, content_type: Optional[str]) -> str:
    """Return data as the body of an error: text as it is, all else as JSON."""
    if data is None or isinstance(data, str):
        return data or ""
    if isinstance(data, (bytes, bytearray)):
        return text_of(bytes(data), content_type)
    try:
        return json.dumps(data, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return ""


_LIBRARIES = ("aiohttp", "httpx", "requests", "urllib3")


def _refuse_unread(http: BaseHttpClient, data: Any) -> None:
    """Refuse what a client should have read or awaited before it returned."""
    name = f"{type(http).__name__}.request"
    if inspect.iscoroutine(data):
        data.close()
        raise ValidationError(f"{name} returned a coroutine; await it, and return the data")
    unread = inspect.isawaitable(data) or inspect.isgenerator(data) or inspect.isasyncgen(data)
    if unread or type(data).__module__.split(".")[0] in _LIBRARIES:
        kind = f"{type(data).__module__}.{type(data).__qualname__}"
        raise ValidationError(f"{name} must return the data of the response, not a {kind}")


__all__ = ["EngineHop", "Received", "Stages"]
