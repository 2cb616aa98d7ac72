"""Running the pipeline on requests.

Holds :func:`run_sync`, which runs a coroutine without an event loop, and :class:`RequestsHop`,
whose ``async def`` methods block and never suspend. Knows requests and urllib3; decides nothing.
What only failures need is loaded with the first of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Coroutine, Dict, Mapping, Optional, TypeVar

import requests
import urllib3
from requests.cookies import RequestsCookieJar, merge_cookies
from requests.hooks import dispatch_hook

from ._deadline_body import guard_body
from ._originals import still_own
from ._requests_timeouts import resolve_timeout, within_deadline
from .admission import deadline_exceeded
from .call import Call
from .connections.http1 import is_complete
from .connections.wire import Watch, Wire, current_wire, watchdog
from .core import SystemClock
from .exceptions import ConnectionManagerError, status_error_class
from .hop import Hop
from .outcome import QUOTA_HEADERS, Outcome, Phase
from .pipeline import run_pipeline
from .preparation import copy_request
from .rewinding import position_of
from .url_query import with_query

if TYPE_CHECKING:
    from .adapter import PipelineAdapter
    from .core import Core

T = TypeVar("T")


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, without an event loop.

    >>> async def answer() -> int: return 42
    >>> run_sync(answer())
    42
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("the coroutine suspended, which needs an event loop")


class RequestsHop(Hop[requests.Response]):
    """One hop over a requests adapter.

    :param timeout: what the caller gave, or :data:`UNSET`.
    """

    def __init__(
        self,
        core: Core,
        adapter: PipelineAdapter,
        call: Call,
        request: requests.PreparedRequest,
        timeout: Any,
        send_kwargs: Dict[str, Any],
    ) -> None:
        self._core = core
        self.call = call
        self.clock = core.clock
        self.events = core.events
        self.request = request
        self.method = core.shown_method(request.method or "GET")
        url = request.url or ""
        self.url = core.shown(url)
        scope = core.scope(call.configuration, url)
        settings, self.retry = call.settings_for(scope.policy)
        self.enter(scope, settings)
        if adapter.max_retries is not adapter.managed_retry and "max_retries" not in call.overrides:
            self.retry = adapter.max_retries
        self._adapter = adapter
        self._timeout = resolve_timeout(self.settings, call.overrides, timeout)
        self._send_kwargs = send_kwargs
        self._wire = Wire()
        self._watch: Optional[Watch] = None
        if call.first_origin is None:
            call.first_origin = self.scope.origin
        self._position = _body_position(request)
        self._sends = 0
        self.auth_hooks: Any = None
        self._answered = False
        self.keyed = self.needs_key(request.headers._store)
        self._refuse_spent_body()

    # -- the verbs of the pipeline

    async def send(self) -> requests.Response:
        request = self._with_credentials()
        self._rewind()
        deadline = self.call.deadline
        wire = self._wire
        wire.reused = wire.fired = self._answered = False
        wire.sock, wire.handshaking = None, False
        crew = self.call.crew
        if crew is not None:
            crew.enter(wire)
        token = current_wire.set(wire)
        if deadline is not None:
            self._watch = watchdog.watch(wire, deadline.remaining())
        self.sent = True
        response = None
        try:
            response = self._send_once(request)
            if deadline is not None:
                guard_body(response, self)
            if not self._send_kwargs.get("stream") and not response.is_redirect:
                _read_body(response)
        except Exception as exc:
            self.disarm()
            if request is not self.request and getattr(exc, "request", None) is request:
                # Ours has credentials on it, and errors are pickled and reported.
                exc.request = self.request  # type: ignore[attr-defined]  # requests sets it
            if self.late():
                raise deadline_exceeded(self) from exc
            raise
        except BaseException:
            self.disarm()
            raise
        finally:
            wire.fresh = False
            current_wire.reset(token)
            if crew is not None:
                crew.leave(wire, response)
        return self._in_time(response)

    def _send_once(self, request: requests.PreparedRequest) -> requests.Response:
        timeout = self._timeout
        if self.call.deadline is not None:
            timeout = within_deadline(timeout, self.call)
        began = self.clock.monotonic()
        response = self._adapter.send_once(request, timeout=timeout, **self._send_kwargs)
        self._answered = True
        response.__dict__["_attempt_elapsed"] = self.clock.monotonic() - began
        return response

    def _in_time(self, response: requests.Response) -> requests.Response:
        if self.call.deadline is not None:
            if self.late():
                self.disarm()
                response.close()
                raise deadline_exceeded(self)
            # requests reads the body of a redirect itself, after this.
            if not self._send_kwargs.get("stream") and not response.is_redirect:
                self.disarm()
        return response

    def late(self) -> bool:
        """Tell whether the deadline has struck; what was read since can't be trusted."""
        deadline = self.call.deadline
        return deadline is not None and (self._wire.fired or deadline.expired())

    def read_from(self, sock: Any) -> None:
        """Remember the socket from which the body comes, for the deadline to shut."""
        self._wire.sock = sock

    def disarm(self) -> None:
        """Stop the watch over this attempt's socket."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def sleep(self, seconds: float) -> None:
        crew = self.call.crew
        if crew is not None and isinstance(self.clock, SystemClock):
            crew.sleep(seconds)
        else:
            self.clock.sleep(seconds)

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    async def settle(self, response: requests.Response) -> None:
        try:
            _ = response.content
        except (requests.RequestException, ConnectionManagerError, RuntimeError, OSError):
            response.close()
        finally:
            self.disarm()

    def status(self, response: requests.Response) -> int:
        return response.status_code

    def telling_headers(self, response: requests.Response) -> Optional[Mapping[str, str]]:
        # Three look-ups of what is not there cost 5 µs: the type raises and catches KeyError.
        headers: Any = response.headers
        if response.status_code < 400 and QUOTA_HEADERS.isdisjoint(
            getattr(headers, "_store", headers)
        ):
            return None
        telling: Mapping[str, str] = headers
        return telling

    def phase(self, error: Exception) -> Optional[Phase]:
        from ._requests_phases import phase_of

        phase = phase_of(error)
        return Phase.NOT_SENT if phase is Phase.SENT and self._wire.handshaking else phase

    def stale(self, error: Exception) -> bool:
        if self._answered or not self._wire.reused or self._wire.fired:
            return False
        from ._requests_phases import died_before_answer

        return died_before_answer(error)

    def replayable(self) -> bool:
        return self._position is not _NEVER

    async def replace_connection(self) -> None:
        self._wire.fresh = True

    def deliver(self, response: requests.Response) -> requests.Response:
        response.__dict__["attempts"] = tuple(self.call.attempts)
        return response

    def error(
        self,
        kind: Any,
        message: str,
        outcome: Optional[Outcome] = None,
        response: Optional[requests.Response] = None,
        **details: Any,
    ) -> ConnectionManagerError:
        from ._requests_errors import FLAVOURS
        from .failure import status_details, status_message

        cls = FLAVOURS.pick(kind, outcome)
        if response is not None:
            known = status_details(
                self._core,
                response.status_code,
                response.headers,
                _text(response),
                getattr(response, "request", None) or self.request,
            )
            message = status_message(message, known)
            details = {**known, **details}
            self.deliver(response)
        error: ConnectionManagerError = cls(
            message,
            request=self.request,
            response=response,
            attempts=tuple(self.call.attempts),
            **details,
        )
        return error

    def run(self) -> requests.Response:
        """Go through the pipeline."""
        return run_sync(run_pipeline(self))

    # -- credentials

    def _with_credentials(self) -> requests.PreparedRequest:
        """Return the request as it is sent: a copy, when something of ours has to be on it."""
        added = self.additions(self.request.headers._store)
        if added is None:
            return self.request
        request = copy_request(self.request)
        # One by one: update() asks typing's protocols what it was given, 2 µs.
        for name, value in added.headers:
            request.headers[name] = value
        if added.query is not None:
            request.url = with_query(request.url or "", *added.query)
        if added.auth is not None:
            self._put_auth_on(request, added.auth)
        return request

    def _put_auth_on(self, request: requests.PreparedRequest, auth: Any) -> None:
        """Run an auth object; what it registers is for the responses of this hop alone."""
        request.hooks = {"response": []}
        if request._cookies is not None:
            request._cookies = merge_cookies(RequestsCookieJar(), request._cookies)
        request.prepare_auth(auth, request.url or "")
        self.auth_hooks = {name: hooks for name, hooks in request.hooks.items() if hooks}
        request.hooks = {name: list(hooks) for name, hooks in (self.request.hooks or {}).items()}

    def answer(self, response: requests.Response) -> requests.Response:
        """Hand the response to the hooks of the endpoint's auth, which may send once more."""
        self.call.answering = True
        try:
            answered: requests.Response = dispatch_hook(
                "response", self.auth_hooks, response, timeout=self._timeout, **self._send_kwargs
            )
        finally:
            self.call.answering = False
        return answered

    # -- the body

    def _refuse_spent_body(self) -> None:
        body = self.request.body
        if self._position is not _NEVER or not _is_stream(body):
            return
        if self.call.spent_body is body:
            raise requests.exceptions.UnrewindableBodyError(
                f"{self.method} {self.url}: the request body was consumed by an earlier hop of "
                "this call (a redirect or an authentication challenge) and cannot be replayed; "
                "give the body as bytes or as a seekable file"
            )
        self.call.spent_body = body

    def _rewind(self) -> None:
        self._sends += 1
        if self._sends > 1 and self._position is not None:
            body: Any = self.request.body
            body.seek(self._position)


_requests_reads = still_own(requests.models, "Response.content.fget", "Response.iter_content")
_urllib3_reads = still_own(urllib3.response, "HTTPResponse.stream", "HTTPResponse.read")


def _read_body(response: requests.Response) -> None:
    """Read the body; one that has arrived can't fail, so that one read does what four layers do."""
    if (
        type(response) is requests.Response
        and is_complete(response.raw)
        and response._content is False  # whoever built it may have read it
        and "iter_content" not in response.__dict__
        and _requests_reads()
        and _urllib3_reads()
    ):
        response._content = response.raw.read(decode_content=True)  # saves 8 µs
        response.raw._fp.close()  # as reading in chunks does, at its end
        response._content_consumed = True
    else:
        _ = response.content


_NEVER: Any = object()


def _is_stream(body: Any) -> bool:
    """Tell whether a body is certainly used up once it was sent."""
    return hasattr(body, "__next__") or hasattr(body, "read")


def _body_position(request: requests.PreparedRequest) -> Any:
    """Return where to rewind the body to: ``None`` no need to, ``_NEVER`` impossible."""
    body: Any = request.body
    if body is None or isinstance(body, (bytes, str, bytearray)):
        return None
    found = position_of(body)
    if found is None:
        # Any other iterable may be the wrapper of a stream, such as a progress bar: once only.
        return None if isinstance(body, (list, tuple)) else _NEVER
    # Where requests found it, when the request was prepared.
    position = getattr(request, "_body_position", None)
    return position if isinstance(position, int) else found


def _text(response: requests.Response) -> Optional[str]:
    try:
        body = response.content
        if not isinstance(body, bytes):
            return response.text  # nothing, or the double of a response
    except (RuntimeError, requests.RequestException, LookupError):
        return None
    from .content import text_of  # of errors only

    return text_of(body, response.headers.get("Content-Type"))


def unsuccessful(
    core: Core, call: Call, response: requests.Response
) -> Optional[ConnectionManagerError]:
    """Return the error for a final response, if it is to be raised."""
    # Doubles made after the class have none of what its constructor sets.
    status = getattr(response, "status_code", None)
    if not isinstance(status, int) or status < 400:
        return None
    # Adapters of others deliver without a request.
    request = getattr(response, "request", None) or call.members[-1]
    url = getattr(response, "url", None) or request.url or ""
    if not core.raises_for(call, url, status):
        return None
    from ._requests_errors import FLAVOURS
    from .failure import status_details, status_message

    try:
        _ = response.content
    except (requests.RequestException, RuntimeError, OSError):
        response.close()
    cls = FLAVOURS.pick(status_error_class(status), None)
    details = status_details(core, status, response.headers, _text(response), request)
    where = f"{core.shown_method(request.method or '')} {core.shown(url)}"
    message = status_message(f"{where}: status {status}", details)
    return cls(message, request=request, response=response, **details)


__all__ = ["RequestsHop", "run_sync", "unsuccessful"]
