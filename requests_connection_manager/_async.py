"""Running the pipeline on httpx.

Holds :class:`HttpxHop`, which sends, waits and reads on asyncio or trio. Knows httpx through
``transport`` only, and anyio; decides nothing.
"""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    AsyncIterator,
    Callable,
    Dict,
    Mapping,
    Optional,
    TypeVar,
)

import anyio
import anyio.to_thread

from . import _httpx_errors
from .admission import deadline_exceeded
from .call import Call
from .certificates import is_verification
from .exceptions import ConnectionManagerError, status_error_class
from .failure import status_text
from .hop import Hop
from .outcome import QUOTA_HEADERS, Outcome, Phase, retry_hint
from .policies.deadline import tighter
from .transport import (
    ConnectionTrace,
    close_idle_connections,
    copy_request,
    hx,
    is_replayable,
)
from .url_query import with_query

if TYPE_CHECKING:
    from .async_manager import AsyncConnectionManager
    from .core import Core

T = TypeVar("T")

CALL = "requests_connection_manager.call"
"""The key of ``request.extensions`` in which the state of a call travels over redirects."""

_LAST_PORT = 65535

_TIMEOUTS = frozenset({"timeout", "connect_timeout", "read_timeout"})


class HttpxHop(Hop[hx.Response]):
    """One hop over an httpx client."""

    def __init__(self, client: AsyncConnectionManager, call: Call, request: hx.Request) -> None:
        if (request.url.port or 0) > _LAST_PORT:
            # httpx would try to connect to it, which looks like trouble of the server's.
            raise hx.InvalidURL(f"Invalid port: {request.url.port}")
        core = client.core
        url = str(request.url)
        self.call = call
        self.clock = core.clock
        self.events = core.events
        self.request = request
        self.method = request.method
        self.url = core.shown(url)
        scope = core.scope(call.configuration, url)
        settings, self.retry = call.settings_for(scope.policy)
        self.enter(scope, settings)
        if call.first_origin is None:
            call.first_origin = self.scope.origin
        self._client = client
        self._timeout = self._resolve_timeout()
        self._trace = ConnectionTrace(None)
        self._replayable = is_replayable(request.stream)
        self.keyed = self.needs_key(request.headers)
        self._refuse_spent_body()

    # -- the verbs of the pipeline

    async def send(self) -> hx.Response:
        request = self._prepared()
        self.sent = True
        if self.call.deadline is None:
            return await self._send_and_read(request)
        response: Optional[hx.Response] = None
        try:
            with anyio.move_on_after(self.call.deadline.remaining()):
                response = await self._send_and_read(request)
        except Exception as exc:
            # httpx's own timeouts end at the same moment, and may be noticed first.
            if self.call.deadline.expired():
                raise deadline_exceeded(self) from exc
            raise
        if response is None:
            raise deadline_exceeded(self)
        if self.call.deadline.expired():
            await response.aclose()
            raise deadline_exceeded(self)
        if self.call.stream:
            response.stream = DeadlineStream(response.stream, self)
        return response

    async def _send_and_read(self, request: hx.Request) -> hx.Response:
        response = await self._client.send_once(request)
        if not self.call.stream:
            try:
                await response.aread()
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
                raise
        return response

    async def sleep(self, seconds: float) -> None:
        await self.clock.asleep(seconds)

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        return await anyio.to_thread.run_sync(function, *args)

    async def settle(self, response: hx.Response) -> None:
        try:
            await response.aread()
        except (hx.HTTPError, hx.StreamError, ConnectionManagerError):
            await response.aclose()

    def status(self, response: hx.Response) -> int:
        return response.status_code

    def telling_headers(self, response: hx.Response) -> Optional[Mapping[str, str]]:
        headers = response.headers
        if response.status_code < 400 and QUOTA_HEADERS.isdisjoint(headers.keys()):
            return None
        return headers

    def phase(self, error: Exception) -> Optional[Phase]:
        return phase_of(error)

    def stale(self, error: Exception) -> bool:
        if not self._trace.reused_in_vain:
            return False
        if isinstance(error, hx.RemoteProtocolError):
            return "disconnected" in str(error)
        return isinstance(error, (hx.ReadError, hx.WriteError))

    def replayable(self) -> bool:
        return self._replayable

    async def replace_connection(self) -> None:
        transport = self._client._transport_for_url(self.request.url)
        await close_idle_connections(transport, self.request.url)

    def deliver(self, response: hx.Response) -> hx.Response:
        # Not among the extensions, which test doubles compare.
        response.__dict__["attempts"] = tuple(self.call.attempts)
        return response

    def error(
        self,
        kind: Any,
        message: str,
        outcome: Optional[Outcome] = None,
        response: Optional[hx.Response] = None,
        **details: Any,
    ) -> ConnectionManagerError:
        if response is not None:
            details.update(
                status_code=response.status_code, headers=response.headers, body=_text(response)
            )
            self.deliver(response)
        return _httpx_errors.build(
            _httpx_errors.FLAVOURS.pick(kind, outcome),
            message,
            self.request,
            response=response,
            attempts=tuple(self.call.attempts),
            **details,
        )

    # -- the request as it is sent

    def _resolve_timeout(self) -> Dict[str, Optional[float]]:
        """Return httpx's timeouts: the request's own, with what endpoint and call add."""
        given = self.request.extensions.get("timeout")
        base = dict(self._client.timeout.as_dict() if given is None else given)
        own = self.scope.policy.own & _TIMEOUTS
        if own and not self.call.timeout_given:
            settings = self.scope.policy.settings
            if "timeout" in own:
                base = hx.Timeout(settings.timeout).as_dict()
            refine_timeout(base, settings.connect_timeout, settings.read_timeout)
        overrides = self.call.overrides
        refine_timeout(base, overrides.get("connect_timeout"), overrides.get("read_timeout"))
        return base

    def _prepared(self) -> hx.Request:
        """Return the request as it is sent: a copy, when something of ours has to be on it."""
        self._trace = ConnectionTrace(self.call.user_trace)
        deadline = self.call.deadline
        timeout = self._timeout
        if deadline is not None:
            timeout = {name: tighter(value, deadline) for name, value in timeout.items()}
        request = self._with_credentials()
        if request is self.request:
            # The caller's: what is meant for one attempt must not stay on it.
            request = copy_request(request)
        request.extensions = {
            **request.extensions,
            "timeout": timeout,
            "trace": self._trace,
            CALL: self.call,
        }
        return request

    def _with_credentials(self) -> hx.Request:
        added = self.additions(self.request.headers)
        if added is None:
            return self.request
        request = copy_request(self.request)
        for name, value in added.headers:
            request.headers[name] = value  # update() would join those of the same name
        if added.query is not None:
            request.url = hx.URL(with_query(str(request.url), *added.query))
        # With the auth with which the call began, httpx runs the flow; elsewhere it is stripped.
        used = self.call.auth_used
        if added.auth is not None and (added.auth is not used or self.call.redirecting):
            request = self._client.first_step_of_auth(request, added.auth)
        return request

    def _refuse_spent_body(self) -> None:
        if self._replayable:
            return
        if self.call.spent_body is self.request.stream:
            raise hx.StreamConsumed
        self.call.spent_body = self.request.stream


class DeadlineStream(hx.AsyncByteStream):
    """A streamed body whose reads end with the deadline of its call."""

    def __init__(self, stream: Any, hop: HttpxHop) -> None:
        self._stream = stream
        self._hop = hop

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._stream.__aiter__()
        while True:
            chunk = await self._next(chunks)
            if chunk is None:
                return
            yield chunk

    async def _next(self, chunks: Any) -> Optional[bytes]:
        deadline = self._hop.call.deadline
        assert deadline is not None
        with anyio.move_on_after(deadline.remaining()) as scope:
            try:
                chunk: bytes = await chunks.__anext__()
            except StopAsyncIteration:
                return None
            except Exception as exc:
                if deadline.expired():
                    raise deadline_exceeded(self._hop) from exc
                raise
        if scope.cancelled_caught or deadline.expired():
            raise deadline_exceeded(self._hop)
        return chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def unsuccessful(
    core: Core, call: Call, request: hx.Request, response: Any
) -> Optional[ConnectionManagerError]:
    """Return the error for a final response, if it is to be raised."""
    # Doubles made after the class have none of what its constructor sets.
    status = getattr(response, "status_code", None)
    if not isinstance(response, hx.Response) or not isinstance(status, int) or status < 400:
        return None
    request = getattr(response, "_request", None) or request
    url = str(request.url)
    if not core.raises_for(call, url, status):
        return None
    try:
        await response.aread()
    except (hx.HTTPError, hx.StreamError, OSError):
        await response.aclose()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await response.aclose()
        raise
    return _httpx_errors.build(
        _httpx_errors.FLAVOURS.pick(status_error_class(status), None),
        status_text(core, request.method, url, status),
        request,
        response=response,
        status_code=status,
        headers=response.headers,
        body=_text(response),
        retry_after=retry_hint(response.headers, core.clock.time, status == 429),
    )


def refine_timeout(
    timeout: Dict[str, Optional[float]], connect: Optional[float], read: Optional[float]
) -> None:
    """Put the finer timeouts into httpx's, where they are given."""
    if connect is not None:
        timeout["connect"] = connect
    if read is not None:
        timeout["read"] = read


def _text(response: hx.Response) -> Optional[str]:
    try:
        return response.text
    except (hx.StreamError, LookupError):
        return None


_NOT_SENT = (hx.ConnectError, hx.ConnectTimeout, hx.ProxyError)
_SENT = (
    hx.ReadTimeout,
    hx.WriteTimeout,
    hx.ReadError,
    hx.WriteError,
    hx.CloseError,
    hx.NetworkError,
    hx.RemoteProtocolError,
)
_LOCAL = (hx.UnsupportedProtocol, hx.LocalProtocolError, hx.InvalidURL)


def phase_of(error: Exception) -> Optional[Phase]:
    """Tell from httpx's error how far the request had got."""
    if isinstance(error, _LOCAL):
        return Phase.LOCAL
    if isinstance(error, hx.PoolTimeout):
        return Phase.QUEUED
    if isinstance(error, _NOT_SENT):
        return Phase.UNTRUSTED if is_verification(error) else Phase.NOT_SENT
    if isinstance(error, (*_SENT, hx.TimeoutException)):
        return Phase.SENT
    # Transports of others may let through what httpx would have wrapped.
    return Phase.SENT if isinstance(error, (ConnectionError, TimeoutError)) else None
