"""``AsyncConnectionManager``: an ``httpx.AsyncClient`` with the pipeline in its middle.

Holds what lives one level above a hop: hooks, fallback, the settings of a call, batch. Every
attempt, and every decision about one, is the hop's and the pipeline's.
"""

from __future__ import annotations

import contextvars
import ssl
import warnings
from contextlib import asynccontextmanager
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NoReturn,
    Optional,
    Tuple,
    Union,
)

import anyio
import anyio.to_thread

from . import defaults
from ._async import CALL, HttpxHop, refine_timeout, unsuccessful
from .batch import arun_batch, check_batch
from .call import Call
from .checks import check_pools, check_tls, refuse_unknown
from .core import Core, take_overrides
from .failure import attach_history, report_failure
from .management import Management, build_core
from .origins import origin_of
from .pipeline import run_pipeline
from .plugins import AsyncPluginManager, ErrorContext, HookType, RequestContext, ResponseContext
from .policies.retry_budget import RetryBudget
from .redirects import sensitive_names, without_added_secrets
from .renewal import RenewableClient
from .settings import UNSET
from .transport import USE_CLIENT_DEFAULT, UseClientDefault, copy_request, hx
from .types import AsyncBatchResults, Clock, RequestData

_BUILD_NAMES = (
    "content",
    "data",
    "files",
    "json",
    "params",
    "headers",
    "cookies",
    "timeout",
    "extensions",
)
_SEND_NAMES = ("auth", "follow_redirects", "stream")
_REQUEST_NAMES = (*_BUILD_NAMES, "auth", "follow_redirects")

# httpx sets or strips these itself when it follows a redirect.
_HTTPX_OWN = frozenset({"authorization", "cookie", "host"})

# Legs of an auth flow are requests that the flow itself builds: only the context knows their call.
_current_call: contextvars.ContextVar[Optional[Call]] = contextvars.ContextVar(
    "requests_connection_manager_async_call", default=None
)

_hook_threads: contextvars.ContextVar[Optional[anyio.CapacityLimiter]] = contextvars.ContextVar(
    "requests_connection_manager_hook_threads", default=None
)


async def _run_in_thread(hook: Callable[[Any], Any], context: Any) -> Any:
    return await anyio.to_thread.run_sync(hook, context, limiter=_hook_threads.get())


class AsyncConnectionManager(Management, RenewableClient):
    """An ``httpx.AsyncClient`` with retries, rate limit, circuit breaker, deadline and hooks.

    Everything that works with a client works with it, on asyncio and on trio. Takes the parameters
    of :class:`~requests_connection_manager.manager.ConnectionManager`, with the same meaning, and
    beside them those of ``httpx.AsyncClient``. It may be used by any number of tasks, and by
    several event loops one after the other.

    :param pool_connections: with ``pool_maxsize``: their product is how many idle connections are
        kept, unless ``limits`` is given.
    :param auth: any httpx auth, as ``httpx.AsyncClient(auth=…)``.
    :param verify: also an ``ssl.SSLContext``.
    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: for a value out of range or contradictory settings, naming them.

    >>> import anyio
    >>> async def main() -> str:
    ...     async with AsyncConnectionManager(timeout=5) as manager:
    ...         return manager.get_stats()["circuit_breaker_state"]
    >>> anyio.run(main)
    'closed'
    """

    def __init__(
        self,
        pool_connections: int = defaults.DEFAULT_POOL_CONNECTIONS,
        pool_maxsize: int = defaults.DEFAULT_POOL_MAXSIZE,
        max_retries: Any = defaults.DEFAULT_MAX_RETRIES,
        backoff_factor: float = defaults.DEFAULT_BACKOFF_FACTOR,
        rate_limit_requests: Optional[int] = defaults.DEFAULT_RATE_LIMIT_REQUESTS,
        rate_limit_period: float = defaults.DEFAULT_RATE_LIMIT_PERIOD,
        circuit_breaker_failure_threshold: Optional[
            int
        ] = defaults.DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD,
        circuit_breaker_recovery_timeout: float = (
            defaults.DEFAULT_CIRCUIT_BREAKER_RECOVERY_TIMEOUT
        ),
        timeout: Any = defaults.DEFAULT_TIMEOUT,
        endpoint_configs: Optional[Mapping[Any, Dict[str, Any]]] = None,
        api_key: Optional[str] = None,
        api_key_header: str = defaults.DEFAULT_API_KEY_HEADER,
        bearer_token: Optional[str] = None,
        oauth2_token: Optional[str] = None,
        basic_auth: Optional[Tuple[str, str]] = None,
        verify: Union[bool, str, ssl.SSLContext] = True,
        cert: Union[str, Tuple[str, str], None] = None,
        connect_timeout: Optional[float] = None,
        read_timeout: Optional[float] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
        *,
        total_timeout: Optional[float] = None,
        raise_on_status: bool = True,
        raise_for_status: bool = False,
        status_forcelist: Iterable[int] = defaults.RETRYABLE_STATUS_CODES,
        allowed_methods: Optional[Iterable[str]] = defaults.IDEMPOTENT_METHODS,
        backoff_max: float = defaults.DEFAULT_BACKOFF_MAX,
        backoff_jitter: float = defaults.DEFAULT_BACKOFF_JITTER,
        retry_after_max: float = defaults.DEFAULT_RETRY_AFTER_MAX,
        retry_budget: Optional[RetryBudget] = UNSET,
        rate_limit_mode: str = defaults.DEFAULT_RATE_LIMIT_MODE,
        rate_limiter: Any = None,
        half_open_max_calls: int = defaults.DEFAULT_HALF_OPEN_MAX_CALLS,
        circuit_breaker: Any = None,
        idempotency_key_header: Optional[str] = None,
        auth: Any = None,
        headers: Any = None,
        api_key_query: Union[str, Tuple[str, str], None] = None,
        max_scopes: int = defaults.DEFAULT_MAX_SCOPES,
        clock: Optional[Clock] = None,
        params: Any = None,
        cookies: Any = None,
        http1: bool = True,
        http2: bool = False,
        proxy: Any = None,
        mounts: Optional[Mapping[str, Optional[hx.AsyncBaseTransport]]] = None,
        follow_redirects: bool = False,
        limits: Optional[hx.Limits] = None,
        max_redirects: int = 20,
        event_hooks: Optional[Mapping[str, List[Callable[..., Any]]]] = None,
        base_url: Union[hx.URL, str] = "",
        transport: Optional[hx.AsyncBaseTransport] = None,
        trust_env: bool = True,
        default_encoding: Union[str, Callable[[bytes], str]] = "utf-8",
        **unknown: NoReturn,
    ) -> None:
        given = dict(locals())
        refuse_unknown(unknown, AsyncConnectionManager.__init__)
        pools = check_pools(pool_connections, pool_maxsize)
        check_tls(verify, cert, ssl_context)
        self._core = build_core(
            given, endpoint_configs, AsyncPluginManager(_run_in_thread), clock, max_scopes
        )
        self._remember_tls(verify, cert, ssl_context)
        super().__init__(
            auth=auth,
            params=params,
            headers=headers,
            cookies=cookies,
            verify=self._tls_context(trust_env),
            http1=http1,
            http2=http2,
            proxy=proxy,
            mounts=mounts,
            timeout=_timeout_of(self._core),
            follow_redirects=follow_redirects,
            limits=_limits(*pools) if limits is None else limits,
            max_redirects=max_redirects,
            event_hooks=event_hooks,
            base_url=base_url,
            transport=transport,
            trust_env=trust_env,
            default_encoding=default_encoding,
        )

    @property
    def core(self) -> Core:
        """The settings, live state and events; shared with the hops."""
        return self._core

    # -- settings

    def _change_settings(self, given: Dict[str, Any]) -> None:
        check_timeout(given.get("timeout", USE_CLIENT_DEFAULT))
        super()._change_settings(given)
        finer = [given[name] for name in ("connect_timeout", "read_timeout") if name in given]
        if "timeout" in given or None in finer:
            self.timeout = _timeout_of(self._core)
            return
        timeout = self.timeout.as_dict()
        refine_timeout(timeout, given.get("connect_timeout"), given.get("read_timeout"))
        self.timeout = hx.Timeout(**timeout)

    # -- one call

    async def request(
        self,
        method: str,
        url: Union[hx.URL, str],
        **kwargs: Any,
    ) -> hx.Response:
        """Send a request with everything that the manager adds.

        :param kwargs: the parameters of ``httpx.AsyncClient.request``, and settings for this call
            alone, such as ``max_retries=0``, ``total_timeout=5`` or ``rate_limit_mode="wait"``.
        :returns: the response; its ``attempts`` has the history.
        :raises RateLimitExceeded: the rate limit refused the first attempt.
        :raises CircuitBreakerOpen: the circuit is open.
        :raises MaxRetriesExceeded: a failure worth a retry is not retried any more.
        :raises DeadlineExceeded: ``total_timeout`` is over.
        :raises httpx.HTTPError: httpx's own errors; all of the above are too.
        """
        context = RequestContext(method, str(url), **kwargs)
        return await self._run_hooks(context, self._performer(url, stream=False))

    @asynccontextmanager
    async def stream(
        self, method: str, url: Union[hx.URL, str], **kwargs: Any
    ) -> AsyncIterator[hx.Response]:
        """Send a request and leave the body to be read; a context manager, as httpx's."""
        context = RequestContext(method, str(url), **kwargs)
        response = await self._run_hooks(context, self._performer(url, stream=True))
        try:
            yield response
        finally:
            await response.aclose()

    async def get(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``GET`` request; see :meth:`request`."""
        return await self.request("GET", url, **kwargs)

    async def options(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send an ``OPTIONS`` request; see :meth:`request`."""
        return await self.request("OPTIONS", url, **kwargs)

    async def head(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``HEAD`` request; see :meth:`request`."""
        return await self.request("HEAD", url, **kwargs)

    async def post(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``POST`` request; see :meth:`request`."""
        return await self.request("POST", url, **kwargs)

    async def put(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``PUT`` request; see :meth:`request`."""
        return await self.request("PUT", url, **kwargs)

    async def patch(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``PATCH`` request; see :meth:`request`."""
        return await self.request("PATCH", url, **kwargs)

    async def delete(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``DELETE`` request; see :meth:`request`."""
        return await self.request("DELETE", url, **kwargs)

    def _performer(self, url: Union[hx.URL, str], stream: bool) -> Any:
        """Return what builds and sends the request of a call, once the hooks have run."""
        text = str(url)

        async def perform(context: RequestContext, began: float) -> hx.Response:
            kwargs = dict(context.kwargs)
            overrides = take_overrides(kwargs, _REQUEST_NAMES, "request")
            if kwargs.get("cookies") is not None:
                warnings.warn(_COOKIES, DeprecationWarning, stacklevel=2)
            # A URL object keeps what its text would lose; a hook that edits it gives text.
            target = url if context.url == text else context.url
            auth = _auth_of_call(kwargs)
            follow = kwargs.pop("follow_redirects", USE_CLIENT_DEFAULT)
            given = kwargs.get("timeout", USE_CLIENT_DEFAULT)
            check_timeout(given)
            request = self.build_request(context.method, target, **kwargs)
            call = self._core.begin(str(request.url), overrides, began)
            call.explicit = _explicit_names(kwargs.get("headers"), auth)
            call.timeout_given = not isinstance(given, UseClientDefault)
            self._adopt(call, request)
            try:
                return await self.send(request, stream=stream, auth=auth, follow_redirects=follow)
            finally:
                call.finished = True

        return perform

    def _adopt(self, call: Call, request: hx.Request) -> None:
        """Tie a call to this client and to the request with which it begins."""
        call.owner, call.expected = self, request
        if call.first_origin is None:
            # Not the first that is sent: an auth flow may ask a token server before.
            call.first_origin = self._core.origin(str(request.url))
        request.extensions = {**request.extensions, CALL: call}

    async def send(
        self,
        request: hx.Request,
        *,
        stream: bool = False,
        auth: Any = USE_CLIENT_DEFAULT,
        follow_redirects: Any = USE_CLIENT_DEFAULT,
        **settings: Any,
    ) -> hx.Response:
        """Send a request, as ``httpx.AsyncClient.send``; settings of a call are taken too.

        Headers that the request holds count as given with the call.
        """
        call: Optional[Call] = request.extensions.get(CALL)
        # A subclass may send the request of a call more than once.
        mine = call is not None and call.owner is self and not call.finished
        if call is not None and mine and call.expected is request:
            return await self._as_call(call, request, stream, auth, follow_redirects)
        context = RequestContext(
            request.method,
            str(request.url),
            headers=dict(request.headers),
            stream=stream,
            auth=auth,
            follow_redirects=follow_redirects,
            **settings,
        )

        async def perform(context: RequestContext, began: float) -> hx.Response:
            return await self._perform_send(request, context, began)

        return await self._run_hooks(context, perform)

    async def _perform_send(
        self, request: hx.Request, context: RequestContext, began: float
    ) -> hx.Response:
        kwargs = dict(context.kwargs)
        headers = kwargs.pop("headers", {})
        overrides = take_overrides(kwargs, _SEND_NAMES, "send")
        before: Optional[Call] = request.extensions.get(CALL)
        # The caller's own object may be sent again, or by another task at the same time.
        request = copy_request(request)
        if before is not None and origin_of(context.url) != before.first_origin:
            # Hooks run anew, and may not look where the redirect goes.
            configuration = self._core.configuration
            headers = without_added_secrets(request.headers, headers, configuration)
        _edit(request, context, headers)
        call = self._core.begin(str(request.url), overrides, began)
        if before is not None:
            call.first_origin = before.first_origin
        auth = kwargs.get("auth", USE_CLIENT_DEFAULT)
        call.explicit = _explicit_names(request.headers, auth)
        call.timeout_given = request.extensions.get("timeout") != self.timeout.as_dict()
        if "timeout" not in request.extensions:
            call.timeout_given = False
        self._adopt(call, request)
        stream = kwargs.get("stream", False)
        follow = kwargs.get("follow_redirects", USE_CLIENT_DEFAULT)
        try:
            return await self._as_call(call, request, stream, auth, follow)
        finally:
            call.finished = True

    async def _as_call(
        self, call: Call, request: hx.Request, stream: bool, auth: Any, follow_redirects: Any
    ) -> hx.Response:
        await self.renew_if_needed()
        call.stream = stream
        call.user_trace = request.extensions.get("trace")
        auth = self._auth_for(call, request, auth)
        call.before_auth = frozenset(request.headers)
        token = _current_call.set(call)
        try:
            response = await super().send(
                request,
                stream=stream,
                auth=auth,
                follow_redirects=follow_redirects,
            )
            error = await unsuccessful(self._core, call, request, response)
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
        own = call.configuration.resolve(str(request.url)).auth
        if own is not None:
            call.auth_used = own
            return own
        origin = self._core.origin(str(request.url))
        # The redirect of another call, followed by hand: the client's auth stays at its origin.
        return auth if call.first_origin in (None, origin) else None

    def first_step_of_auth(self, request: hx.Request, auth: Any) -> hx.Request:
        """Return the request as an auth object sends it first; for redirects to an endpoint."""
        flow = (self._build_auth(auth) or hx.Auth()).sync_auth_flow(request)
        try:
            return next(flow)
        finally:
            flow.close()

    async def _send_single_request(self, request: hx.Request) -> hx.Response:
        """Send one hop of a call: httpx calls this for each redirect and each leg of an auth."""
        call = request.extensions.get(CALL) or _current_call.get()
        if call is None or call.owner is not self:
            call = self._core.begin(str(request.url), {}, self._core.clock.monotonic())
            call.owner = self
            call.first_origin = call.first_origin or self._core.origin(str(request.url))
        origin = self._core.origin(str(request.url))
        call.redirecting = call.origin is not None and origin != call.origin
        if call.redirecting:
            # What was stripped no longer stands in the way of the target's own credentials.
            call.explicit = frozenset(name for name in call.explicit if name in request.headers)
        call.origin = origin
        return await run_pipeline(HttpxHop(self, call, request))

    async def send_once(self, request: hx.Request) -> hx.Response:
        """Send exactly once, without the pipeline."""
        return await super()._send_single_request(request)

    def _redirect_headers(self, request: hx.Request, url: hx.URL, method: str) -> hx.Headers:
        """Return the headers for a redirect: httpx's, less what is sensitive elsewhere."""
        headers = super()._redirect_headers(request, url, method)
        if origin_of(str(url)) != origin_of(str(request.url)):
            for name in sensitive_names(headers, self._core.configuration):
                del headers[name]
            call: Optional[Call] = request.extensions.get(CALL) or _current_call.get()
            if call is not None and call.before_auth is not None:
                # What an auth flow added is a credential, whatever its name.
                for name in set(headers) - call.before_auth - _HTTPX_OWN:
                    del headers[name]
        return headers

    # -- hooks

    async def _run_hooks(
        self,
        context: RequestContext,
        perform: Callable[[RequestContext, float], Awaitable[hx.Response]],
    ) -> hx.Response:
        plugins = self._plugins
        began = self._core.clock.monotonic()
        try:
            await plugins.run_pre_request_hooks(context)
            response = await perform(context, began)
            if plugins.after_response:
                response = await _after(plugins, response, context)
            return response
        except Exception as exc:
            return await self._fall_back(exc, context)

    async def _fall_back(self, exc: Exception, context: RequestContext) -> hx.Response:
        """Return the fallback of an error hook, or raise the error."""
        errors = ErrorContext(exc, context)
        await self._plugins.run_error_hooks(errors)
        if errors.resolved:
            fallback: hx.Response = errors.fallback_response
            return fallback
        report_failure(self._core, exc, str(context.method), str(context.url))
        raise exc

    @property
    def _plugins(self) -> AsyncPluginManager:
        plugins = self._core.plugins
        assert isinstance(plugins, AsyncPluginManager)
        return plugins

    def register_pre_request_hook(self, hook_func: Any, blocking: bool = False) -> None:
        """Run ``hook_func(RequestContext)`` before each call; coroutine functions are awaited.

        :param blocking: run this plain function on a worker thread.
        """
        self._plugins.register_hook(HookType.PRE_REQUEST, hook_func, blocking)

    def register_post_response_hook(self, hook_func: Any, blocking: bool = False) -> None:
        """Run ``hook_func(ResponseContext)`` after each call that brought a response."""
        self._plugins.register_hook(HookType.POST_RESPONSE, hook_func, blocking)

    def register_error_hook(self, hook_func: Any, blocking: bool = False) -> None:
        """Run ``hook_func(ErrorContext)`` when a call fails; it may provide a fallback."""
        self._plugins.register_hook(HookType.ERROR_HANDLER, hook_func, blocking)

    # -- batch

    async def batch_request(
        self,
        requests_data: Iterable[RequestData],
        max_workers: int = 5,
        return_exceptions: bool = True,
    ) -> AsyncBatchResults:
        """Send many requests concurrently and return the results in input order.

        :param requests_data: any iterable of ``(method, url, kwargs)``; checked before the first
            is sent.
        :param max_workers: how many are under way at a time; also how many threads run hooks that
            were registered with ``blocking=True``.
        :param return_exceptions: ``True``: a failure is an item of the result; ``False``: the first
            one is raised, and what had not started is left out.
        :raises TypeError: for an item of another form, with its index.
        """
        checked = check_batch(requests_data, max_workers)

        async def perform(item: Tuple[str, str, Dict[str, Any]]) -> hx.Response:
            method, url, kwargs = item
            return await self.request(method, url, **kwargs)

        token = _hook_threads.set(anyio.CapacityLimiter(max_workers))
        try:
            results: List[Any] = await arun_batch(perform, checked, max_workers, return_exceptions)
        finally:
            _hook_threads.reset(token)
        return results


_COOKIES = (
    "Setting per-request cookies=<...> is being deprecated, because the expected behaviour on "
    "cookie persistence is ambiguous. Set cookies directly on the client instance instead."
)


def _limits(pool_connections: int, pool_maxsize: int) -> hx.Limits:
    kept = pool_connections * pool_maxsize
    return hx.Limits(max_connections=max(100, kept), max_keepalive_connections=kept)


def _timeout_of(core: Core) -> hx.Timeout:
    """Return the settings' timeouts as httpx has them."""
    settings = core.configuration.settings
    base = hx.Timeout(settings.timeout).as_dict()
    refine_timeout(base, settings.connect_timeout, settings.read_timeout)
    return hx.Timeout(**base)


def check_timeout(timeout: Any) -> None:
    """Refuse a timeout that is none; httpx would find out once the request is under way."""
    if isinstance(timeout, UseClientDefault):
        return
    parts = timeout if isinstance(timeout, tuple) else (timeout,)
    if isinstance(timeout, hx.Timeout):
        parts = tuple(timeout.as_dict().values())
    for part in parts:
        if part is None:
            continue
        if not hasattr(part, "__float__"):
            raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
        if not part >= 0:
            raise ValueError(f"timeout must be a number of seconds of at least 0, not {timeout!r}")


def _auth_of_call(kwargs: Dict[str, Any]) -> Any:
    """Take the auth of a call; its own ``Authorization`` header outranks the client's auth."""
    auth = kwargs.pop("auth", USE_CLIENT_DEFAULT)
    if isinstance(auth, UseClientDefault) and "authorization" in hx.Headers(kwargs.get("headers")):
        return None
    return auth


def _explicit_names(headers: Any, auth: Any) -> Any:
    names = {name.lower() for name in hx.Headers(headers)} if headers else set()
    if not isinstance(auth, UseClientDefault):
        names.add("authorization")
    return frozenset(names)


def _edit(request: hx.Request, context: RequestContext, headers: Mapping[str, str]) -> None:
    """Put what the hooks changed on the request."""
    if context.url != str(request.url):
        request.url = hx.URL(context.url)
        if "host" in request.headers:
            request.headers["host"] = request.url.netloc.decode("ascii")
    request.method = context.method
    for name in set(request.headers) - set(hx.Headers(headers)):
        del request.headers[name]
    for name, value in dict(headers).items():
        if request.headers.get(name) != value:
            request.headers[name] = value


async def _after(
    plugins: AsyncPluginManager, response: hx.Response, context: RequestContext
) -> hx.Response:
    after = ResponseContext(response, context)
    try:
        await plugins.run_post_response_hooks(after)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await response.aclose()
        raise
    result: hx.Response = after.response
    return result
