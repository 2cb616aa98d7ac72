"""What happens around the hops of a call on httpx: hooks, fallback, the settings of the call.

Holds :class:`HttpxCalls`, written once for httpx's two clients: its coroutines are awaited by the
asynchronous one and stepped through without an event loop by the synchronous one, which fill in
how they send, read and close. Every attempt, and every decision about one, is the hop's and the
pipeline's.
"""

from __future__ import annotations

import contextvars
import warnings
from functools import partial
from typing import (
    Any,
    Awaitable,
    Callable,
    Coroutine,
    Dict,
    FrozenSet,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from . import defaults
from ._httpx_arguments import (
    LIBRARY_NAMES,
    REQUEST_NAMES,
    SEND_NAMES,
    TIMEOUT_SETTINGS,
    TLS_DEFAULTS,
    check_timeout,
    edit,
    limits_of,
    names_given,
    take_auth,
    timeout_of,
)
from ._httpx_building import RequestBuilding, copy_request, headers_from, names_of, text_of
from ._httpx_hop import CALL, HttpxHop, is_final_failure, refine_timeout, target_of, unsuccessful
from .call import Call
from .call_events import call_report
from .checks import check_pools, check_tls
from .core import Core, take_overrides
from .failure import attach_history, report_failure
from .management import Management, build_core, check_sibling
from .origins import origin_of
from .pipeline import run_pipeline
from .plugins import ErrorContext, PluginManager, RequestContext, ResponseContext
from .redirects import sensitive_names, without_added_secrets
from .renewal import RenewableTransports
from .transport import USE_CLIENT_DEFAULT, UseClientDefault, hx

C = TypeVar("C", bound="HttpxCalls")

Answer = Coroutine[Any, Any, hx.Response]

# httpx sets or strips these itself when it follows a redirect.
_HTTPX_OWN = frozenset({"authorization", "cookie", "host"})

# Legs of an auth flow are requests that the flow itself builds: only the context knows their call.
_current_call: contextvars.ContextVar[Optional[Call]] = contextvars.ContextVar(
    "requests_connection_manager_async_call", default=None
)


class HttpxCalls(Management, RequestBuilding, RenewableTransports):
    """The calls of an httpx client, with everything that a manager adds."""

    _core: Core
    _hop: Type[HttpxHop]
    _request_names: Tuple[str, ...] = REQUEST_NAMES

    def _construct(self, given: Dict[str, Any], plugins: PluginManager) -> None:
        """Do what the constructors have in common.

        :param given: their arguments by name; what is left out has its default.
        """
        pools = check_pools(
            given.get("pool_connections", defaults.DEFAULT_POOL_CONNECTIONS),
            given.get("pool_maxsize", defaults.DEFAULT_POOL_MAXSIZE),
        )
        tls: Any = [given.get(name, default) for name, default in TLS_DEFAULTS]
        check_tls(*tls)
        self._core = build_core(
            given,
            given.get("endpoint_configs"),
            plugins,
            given.get("clock"),
            given.get("max_scopes", defaults.DEFAULT_MAX_SCOPES),
        )
        verify, cert, ssl_context = tls
        self._remember_tls(verify, cert, ssl_context)
        self._choose_backend(given)
        library = {name: given[name] for name in LIBRARY_NAMES if name in given}
        if library.get("limits") is None:
            library["limits"] = limits_of(*pools)
        super().__init__(
            verify=self._tls_context(given.get("trust_env", True)),  # type: ignore[call-arg]  # both clients take it
            timeout=timeout_of(self._core),
            **library,
        )

    @property
    def core(self) -> Core:
        """The settings, live state and events; shared with the hops."""
        return self._core

    # -- what the two clients do differently

    def _send_upstream(
        self, request: hx.Request, stream: bool, auth: Any, follow_redirects: Any
    ) -> Answer:
        """Send as httpx's own client does."""
        raise NotImplementedError

    def _send_own(self, request: hx.Request, **options: Any) -> Answer:
        """Send through the public method, which subclasses may override."""
        raise NotImplementedError

    async def _read_or_close(self, response: hx.Response) -> None:
        raise NotImplementedError

    async def _close_response(self, response: hx.Response) -> None:
        """Close a response, also when the call is being cancelled."""
        raise NotImplementedError

    def _before(self, context: RequestContext) -> Awaitable[None]:
        """Run the pre-request hooks."""
        raise NotImplementedError

    async def _run_post_response_hooks(self, context: ResponseContext) -> None:
        raise NotImplementedError

    async def _on_error(self, context: ErrorContext) -> None:
        """Run the error hooks."""
        raise NotImplementedError

    def send_once(self, request: hx.Request) -> Any:
        """Send exactly once, without the pipeline; the asynchronous client's is awaited."""
        raise NotImplementedError

    # -- settings

    def _change_settings(self, given: Dict[str, Any]) -> None:
        check_timeout(given.get("timeout", USE_CLIENT_DEFAULT))
        super()._change_settings(given)
        finer = [given[name] for name in ("connect_timeout", "read_timeout") if name in given]
        if "timeout" in given or None in finer:
            self.timeout = timeout_of(self._core)
            return
        timeout = self.timeout.as_dict()
        refine_timeout(timeout, given.get("connect_timeout"), given.get("read_timeout"))
        self.timeout = hx.Timeout(**timeout)

    def with_options(self: C, **settings: Any) -> C:
        """Return a sibling that differs in some settings and shares everything else.

        The two share connections, cookies, headers, credentials, endpoint settings, hooks,
        listeners, breakers and limiters; what either changes of these holds for both. Attributes
        such as ``auth`` and ``timeout`` are copied. Closing either closes the connections.

        :param settings: what a single call may be given, and ``timeout``.
        :raises TypeError: for a value of the wrong type.
        :raises ValueError: for a value out of range, or a setting that can't differ.
        """
        check_timeout(settings.get("timeout", USE_CLIENT_DEFAULT))
        return self._sibling(check_sibling(settings))

    def _sibling(self: C, changes: Mapping[str, Any]) -> C:
        sibling = type(self).__new__(type(self))
        sibling.__dict__.update(self.__dict__, _core=self._core.derived(changes))
        if not TIMEOUT_SETTINGS.isdisjoint(changes):
            sibling._timeout = timeout_of(sibling._core)
        return sibling

    # -- one call

    # What only passes something on returns the coroutine: each that waits for another costs 0.3 µs.

    def _call(
        self, method: str, url: Union[hx.URL, str], stream: bool, kwargs: Dict[str, Any]
    ) -> Answer:
        """Send a request with everything that the manager adds."""
        context = RequestContext(method, str(url), **kwargs)
        return self._run_hooks(context, self._performer(url, stream))

    def _performer(self, url: Union[hx.URL, str], stream: bool) -> Any:
        """Return what builds and sends the request of a call, once the hooks have run."""
        text = str(url)

        async def perform(context: RequestContext, began: float) -> hx.Response:
            kwargs = self._request_options(context)
            overrides = take_overrides(kwargs, self._request_names, "request")
            if kwargs.get("cookies") is not None and not stream:  # as httpx: stream() takes them
                warnings.warn(_COOKIES, DeprecationWarning, stacklevel=2)
            # A URL object keeps what its text would lose; a hook that edits it gives text.
            target = url if context.url == text else context.url
            anonymous = kwargs.get("auth", USE_CLIENT_DEFAULT) is None
            auth = take_auth(kwargs)
            follow = kwargs.pop("follow_redirects", USE_CLIENT_DEFAULT)
            given = kwargs.get("timeout", USE_CLIENT_DEFAULT)
            check_timeout(given)
            request = self.build_request(context.method, target, **kwargs)
            call = self._core.begin(text_of(request.url), overrides, began)
            call.explicit = self._explicit_names(kwargs, auth)
            call.timeout_given = not isinstance(given, UseClientDefault)
            if anonymous:
                self._leave_out_credentials(call, request, kwargs.get("headers"))
            self._adopt(call, request)
            try:
                return await self._send_own(
                    request, stream=stream, auth=auth, follow_redirects=follow
                )
            finally:
                _finish(call)

        return perform

    def _request_options(self, context: RequestContext) -> Dict[str, Any]:
        """Return the options of a request in httpx's terms and those of the settings."""
        return dict(context.kwargs)

    def _send_options(self, given: Dict[str, Any]) -> Dict[str, Any]:
        """Return the options of ``send``; the same for these."""
        return given

    def _explicit_names(self, options: Mapping[str, Any], auth: Any) -> FrozenSet[str]:
        """Return what of its credentials a request brings itself; see ``Call.explicit``."""
        return names_given(options.get("headers"), auth)

    def _leave_out_credentials(self, call: Call, request: hx.Request, headers: Any) -> None:
        """Follow ``auth=None``: httpx's own meaning is that no auth object is used."""

    def _leave_home(self, request: hx.Request, before: hx.Headers) -> None:
        """Follow a hook that sends a request elsewhere; to httpx its headers are the caller's."""

    def _follows(self, given: Any) -> Any:
        """Return whether redirects are followed."""
        return self.follow_redirects if isinstance(given, UseClientDefault) else given

    def _adopt(self, call: Call, request: hx.Request) -> None:
        """Tie a call to this client and to the request with which it begins."""
        call.owner, call.expected = self, request
        request.extensions = {**request.extensions, CALL: call}

    def _send_call(
        self, request: hx.Request, stream: bool, auth: Any, follow_redirects: Any, settings: Any
    ) -> Answer:
        """Send a request: as part of the call for which it was built, or as one of its own."""
        call: Optional[Call] = request.extensions.get(CALL)
        # A subclass may send the request of a call more than once.
        mine = call is not None and call.owner is self and not call.finished
        if call is not None and mine and call.expected is request:
            return self._as_call(call, request, stream, auth, follow_redirects)
        context = RequestContext(
            request.method,
            str(request.url),
            headers=dict(request.headers),
            stream=stream,
            auth=auth,
            follow_redirects=follow_redirects,
            **settings,
        )

        return self._run_hooks(context, partial(self._perform_send, request))

    async def _perform_send(
        self, request: hx.Request, context: RequestContext, began: float
    ) -> hx.Response:
        kwargs = self._send_options(dict(context.kwargs))
        headers = kwargs.pop("headers", {})
        overrides = take_overrides(kwargs, SEND_NAMES, "send")
        before: Optional[Call] = request.extensions.get(CALL)
        # The caller's own object may be sent again, or by another task at the same time.
        request = copy_request(request)
        if before is not None and origin_of(context.url) != before.first_origin:
            # Hooks run anew, and may not look where the redirect goes.
            configuration = self._core.configuration
            headers = without_added_secrets(request.headers, headers, configuration)
        origin = self._core.origin(str(request.url))
        untouched = request.headers.copy()
        edit(request, context, headers)
        if self._core.origin(str(request.url)) != origin:
            self._leave_home(request, untouched)
        call = self._core.begin(str(request.url), overrides, began)
        if before is not None:
            call.first_origin = before.first_origin
        auth = kwargs.get("auth", USE_CLIENT_DEFAULT)
        call.explicit = names_given(request.headers, auth)
        call.timeout_given = request.extensions.get("timeout") != self.timeout.as_dict()
        if "timeout" not in request.extensions:
            call.timeout_given = False
        if auth is None:
            self._leave_out_credentials(call, request, request.headers)
        self._adopt(call, request)
        stream = kwargs.get("stream", False)
        follow = kwargs.get("follow_redirects", USE_CLIENT_DEFAULT)
        try:
            return await self._as_call(call, request, stream, auth, follow)
        finally:
            _finish(call)

    async def _as_call(
        self, call: Call, request: hx.Request, stream: bool, auth: Any, follow_redirects: Any
    ) -> hx.Response:
        if not self.is_current():
            await self.renew_if_needed()
        if call.first_origin is None:
            # Not the first that is sent: an auth flow may ask a token server before.
            call.first_origin = target_of(self._core, call, request.url).origin
        call.stream = stream
        call.user_trace = request.extensions.get("trace")
        auth = self._auth_for(call, request, auth)
        call.before_auth = list(request.headers._list)
        token = _current_call.set(call)
        try:
            response = await self._send_upstream(request, stream, auth, follow_redirects)
            if is_final_failure(response):
                reader = self._read_or_close
                error = await unsuccessful(self._core, call, request, response, reader)
                if error is not None:
                    raise error
            return response
        except Exception as exc:
            attach_history(exc, call)
            raise
        finally:
            _current_call.reset(token)

    def _auth_for(self, call: Call, request: hx.Request, auth: Any) -> Any:
        """Return the auth of this call: its own, else the endpoint's, else the client's."""
        if not isinstance(auth, UseClientDefault) or "authorization" in call.explicit:
            return auth
        target = target_of(self._core, call, request.url)
        own = target.policy.auth
        if own is not None:
            call.auth_used = own
            return own
        # The redirect of another call, followed by hand: the client's auth stays at its origin.
        return auth if call.first_origin == target.origin else None

    def first_step_of_auth(self, request: hx.Request, auth: Any) -> hx.Request:
        """Return the request as an auth object sends it first; for redirects to an endpoint."""
        flow = (self._build_auth(auth) or hx.Auth()).sync_auth_flow(request)
        try:
            return next(flow)
        finally:
            flow.close()

    def _send_hop(self, request: hx.Request) -> Answer:
        """Send one hop of a call: each redirect, and each leg of an auth."""
        call = request.extensions.get(CALL) or _current_call.get()
        if call is None or call.owner is not self:
            url = text_of(request.url)
            call = self._core.begin(url, {}, self._core.clock.monotonic())
            call.owner = self
            call.first_origin = call.first_origin or self._core.origin(url)
        hop = self._hop(self, call, request)
        origin = hop.scope.origin
        call.redirecting = call.origin is not None and origin != call.origin
        if call.redirecting:
            # What was stripped no longer stands in the way of the target's own credentials.
            call.explicit = frozenset(name for name in call.explicit if name in request.headers)
        call.origin = origin
        return run_pipeline(hop)

    def _redirect_headers(self, request: hx.Request, url: hx.URL, method: str) -> hx.Headers:
        """Return the headers for a redirect: httpx's, less what is sensitive elsewhere."""
        headers = super()._redirect_headers(request, url, method)
        if origin_of(str(url)) != origin_of(str(request.url)):
            for name in sensitive_names(headers, self._core.configuration):
                del headers[name]
            # requests strips it, httpx does not.
            headers.pop("Proxy-Authorization", None)
            call: Optional[Call] = request.extensions.get(CALL) or _current_call.get()
            if call is not None and call.before_auth is not None:
                # What an auth flow added is a credential, whatever its name.
                before = names_of(headers_from(call.before_auth))
                for name in set(headers) - before - _HTTPX_OWN:
                    del headers[name]
        return headers

    # -- hooks

    async def _run_hooks(
        self,
        context: RequestContext,
        perform: Callable[[RequestContext, float], Awaitable[hx.Response]],
    ) -> hx.Response:
        # Around all of it: a fallback ends a call like any other response.
        with call_report(self._core, context, self._absolute) as report:
            began = self._core.clock.monotonic()
            try:
                await self._before(context)
                response = await perform(context, began)
                if self._core.plugins.after_response:
                    response = await self._after(response, context)
            except Exception as exc:
                response = await self._fall_back(exc, context)
            return report.returned(response)

    def _absolute(self, url: str) -> str:
        """Return the URL that is meant by what was given, as far as it can be told yet."""
        try:
            return str(self._merge_url(url))
        except hx.InvalidURL:
            return url

    async def _fall_back(self, exc: Exception, context: RequestContext) -> hx.Response:
        """Return the fallback of an error hook, or raise the error."""
        errors = ErrorContext(exc, context)
        await self._on_error(errors)
        if errors.resolved:
            fallback: hx.Response = errors.fallback_response
            return fallback
        report_failure(self._core, exc, str(context.method), str(context.url))
        raise exc

    async def _after(self, response: hx.Response, context: RequestContext) -> hx.Response:
        after = ResponseContext(response, context)
        try:
            await self._run_post_response_hooks(after)
        except BaseException:
            await self._close_response(response)
            raise
        result: hx.Response = after.response
        return result


def _finish(call: Call) -> None:
    """End a call, so that nothing joins it any more.

    What it was about goes at once, not with the next garbage collection, which costs 3 µs a call.
    """
    call.finished, call.expected = True, None


_COOKIES = (
    "Setting per-request cookies=<...> is being deprecated, because the expected behaviour on "
    "cookie persistence is ambiguous. Set cookies directly on the client instance instead."
)

__all__ = ["HttpxCalls"]
