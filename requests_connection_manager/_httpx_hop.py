"""Running the pipeline on httpx: what is the same for its synchronous and asynchronous clients.

Holds :class:`HttpxHop`, the request as it is sent and the meaning of httpx's answers and errors.
How it is sent, waited and read is the drivers' (``_async``, ``_sync_httpx``). Knows httpx through
``transport`` only; decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, FrozenSet, Mapping, Optional

from . import _httpx_errors
from ._httpx_building import add_headers, copy_request, names_of, text_of
from .call import Call
from .certificates import is_verification
from .exceptions import ConnectionManagerError, status_error_class
from .failure import status_details, status_message
from .hop import Hop
from .outcome import QUOTA_HEADERS, Outcome, Phase
from .policies.deadline import tighter
from .transport import ConnectionTrace, hx, is_replayable
from .url_query import with_query

if TYPE_CHECKING:
    from ._httpx_calls import HttpxCalls
    from .core import Core

CALL = "requests_connection_manager.call"
"""The key of ``request.extensions`` in which the state of a call travels over redirects."""

Reader = Callable[[hx.Response], Awaitable[None]]

_LAST_PORT = 65535

_QUOTA_HEADERS = frozenset(name.encode() for name in QUOTA_HEADERS)

_TIMEOUTS = frozenset({"timeout", "connect_timeout", "read_timeout"})


class InvalidPort(hx.ConnectError, hx.InvalidURL):
    """A URL with a port that there can't be; to httpx it is a failure to connect."""


class Target:
    """Where a request leads, as its call sees it."""

    __slots__ = ("origin", "policy", "text", "url")

    def __init__(self, core: Core, call: Call, url: hx.URL) -> None:
        self.url = url
        self.text = text = text_of(url)
        self.policy = call.configuration.resolve(text)
        self.origin = core.origin(text)


def target_of(core: Core, call: Call, url: hx.URL) -> Target:
    """Return where a URL leads; the call remembers the latest, which is asked for twice."""
    known: Optional[Target] = call.target
    if known is None or known.url is not url:
        known = call.target = Target(core, call, url)
    return known


class HttpxHop(Hop[hx.Response]):
    """One hop over an httpx client; the drivers send, wait and read."""

    new_trace: Callable[[Any], ConnectionTrace]
    _trace: ConnectionTrace
    received_names: FrozenSet[bytes]
    """The lower-case names of the headers of the latest response."""

    def __init__(self, client: HttpxCalls, call: Call, request: hx.Request) -> None:
        if (request.url.port or 0) > _LAST_PORT:
            # httpx would try to connect to it, which looks like trouble of the server's.
            raise InvalidPort(f"Invalid port: {request.url.port}", request=request)
        core = client.core
        target = target_of(core, call, request.url)
        self.call = call
        self.clock = core.clock
        self.events = core.events
        self.request = request
        self.method = core.shown_method(request.method)
        self.url = core.shown(target.text)
        scope = core.registry.scope(target.policy, target.origin)
        settings, self.retry = call.settings_for(scope.policy)
        self.enter(scope, settings)
        if call.first_origin is None:
            call.first_origin = target.origin
        self._client: Any = client
        self._core = core
        self._timeout = self._resolve_timeout()
        self._replayable = is_replayable(request.stream)
        can_be_keyed = settings.idempotency_key_header is not None
        self.keyed = can_be_keyed and self.needs_key(names_of(request.headers))
        self._refuse_spent_body()

    # -- what is asked of it by the pipeline

    def status(self, response: hx.Response) -> int:
        return response.status_code

    def telling_headers(self, response: hx.Response) -> Optional[Mapping[str, str]]:
        headers = response.headers
        if response.status_code < 400 and _QUOTA_HEADERS.isdisjoint(self.received_names):
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
            known = status_details(
                self._core,
                response.status_code,
                response.headers,
                _text(response),
                getattr(response, "_request", None) or self.request,
            )
            message = status_message(message, known)
            details = {**known, **details}
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
        policy, overrides = self.scope.policy, self.call.overrides
        if not (self.call.timeout_given or _TIMEOUTS.isdisjoint(policy.own)):
            settings = policy.settings
            if "timeout" in policy.own:
                base = _parts_of(settings.timeout)
            refine_timeout(base, settings.connect_timeout, settings.read_timeout)
        if overrides:
            refine_timeout(base, overrides.get("connect_timeout"), overrides.get("read_timeout"))
        return base

    def _prepared(self) -> hx.Request:
        """Return the request as it is sent: a copy, for what is ours must not stay on it."""
        self._trace = self.new_trace(self.call.user_trace)
        deadline = self.call.deadline
        timeout = self._timeout
        if deadline is not None:
            timeout = {name: tighter(value, deadline) for name, value in timeout.items()}
        request = self._with_credentials()
        request.extensions = {
            **request.extensions,
            "timeout": timeout,
            "trace": self._trace,
            CALL: self.call,
        }
        return request

    def _with_credentials(self) -> hx.Request:
        present = names_of(self.request.headers)
        added = self.additions(present)
        request = copy_request(self.request)
        if added is None:
            return request
        add_headers(request.headers, added.headers, present)
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


def is_final_failure(response: Any) -> bool:
    """Tell whether a call ends with a response of an error."""
    # Doubles made after the class have none of what its constructor sets.
    status = getattr(response, "status_code", None)
    return isinstance(response, hx.Response) and isinstance(status, int) and status >= 400


async def unsuccessful(
    core: Core, call: Call, request: hx.Request, response: Any, read: Reader
) -> Optional[ConnectionManagerError]:
    """Return the error for a final response of a failure, if it is to be raised.

    :param read: reads the body, or closes the response where that fails.
    """
    status = response.status_code
    request = getattr(response, "_request", None) or request
    url = str(request.url)
    if not core.raises_for(call, url, status):
        return None
    await read(response)
    details = status_details(core, status, response.headers, _text(response), request)
    where = f"{core.shown_method(request.method)} {core.shown(url)}"
    message = status_message(f"{where}: status {status}", details)
    kind = _httpx_errors.FLAVOURS.pick(status_error_class(status), None)
    return _httpx_errors.build(kind, message, request, response=response, **details)


def _parts_of(timeout: Any) -> Dict[str, Optional[float]]:
    """Return ``httpx.Timeout(timeout).as_dict()``; for a number, without the 1 µs that it takes."""
    if isinstance(timeout, (int, float)):
        return {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
    parts: Dict[str, Optional[float]] = hx.Timeout(timeout).as_dict()
    return parts


def refine_timeout(
    timeout: Dict[str, Optional[float]], connect: Optional[float], read: Optional[float]
) -> None:
    """Put the finer timeouts into httpx's, where they are given."""
    if connect is not None:
        timeout["connect"] = connect
    if read is not None:
        timeout["read"] = read


def _text(response: hx.Response) -> Optional[str]:
    from .content import text_of  # of errors only

    try:
        return text_of(response.content, response.headers.get("Content-Type"))
    except hx.StreamError:
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


__all__ = [
    "CALL",
    "HttpxHop",
    "Reader",
    "is_final_failure",
    "phase_of",
    "refine_timeout",
    "unsuccessful",
]
