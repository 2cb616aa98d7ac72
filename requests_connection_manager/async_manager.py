"""``AsyncConnectionManager``: an ``httpx.AsyncClient`` with the pipeline in its middle.

Holds how the calls of ``_httpx_calls`` are sent, read and closed on asyncio and trio, and the
public methods; decides nothing.
"""

from __future__ import annotations

import contextvars
import ssl
from contextlib import asynccontextmanager
from typing import (
    TYPE_CHECKING,
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
from ._async import (
    AsyncHttpxHop,
    close_shielded,
    read_or_close,
    send_following,
    send_once,
)
from ._httpx_calls import Answer, HttpxCalls
from ._httpx_shortcuts import Shortcuts
from .batch.faces import AsyncBatching
from .checks import refuse_unknown
from .plugins import AsyncPluginManager, ErrorContext, HookType, RequestContext, ResponseContext
from .policies.retry_budget import RetryBudget
from .renewal import RenewableAsyncClient
from .settings import UNSET
from .streaming.faces import AsyncStreaming
from .transport import LIBRARY_ASYNC_CLIENT, USE_CLIENT_DEFAULT, hx, is_replaced
from .types import AsyncBatchResults, Clock, RequestData

if TYPE_CHECKING:
    from .batch.recorder import Responses
    from .streaming.exchange import Exchanger

_SHORTCUTS = Shortcuts(LIBRARY_ASYNC_CLIENT)

_hook_threads: contextvars.ContextVar[Optional[anyio.CapacityLimiter]] = contextvars.ContextVar(
    "requests_connection_manager_hook_threads", default=None
)


async def run_in_thread(hook: Callable[[Any], Any], context: Any) -> Any:
    """Run a plain hook on a worker thread; those of a batch share as many as it has workers."""
    return await anyio.to_thread.run_sync(hook, context, limiter=_hook_threads.get())


class AsyncConnectionManager(
    AsyncStreaming, AsyncBatching[hx.Response], HttpxCalls, RenewableAsyncClient
):
    """An ``httpx.AsyncClient`` with retries, rate limit, circuit breaker, deadline and hooks.

    Everything that works with a client works with it, on asyncio and on trio. Takes the parameters
    of :class:`~requests_connection_manager.manager.ConnectionManager`, with the same meaning, and
    beside them those of ``httpx.AsyncClient``. It may be used by any number of tasks, and by
    several event loops one after the other.

    :param pool_connections: with ``pool_maxsize``: their product is how many idle connections are
        kept, unless ``limits`` is given.
    :param auth: any httpx auth, as ``httpx.AsyncClient(auth=…)``.
    :param verify: also an ``ssl.SSLContext``.
    :param http_backend: what sends and receives: ``"httpx"``, or ``"aiohttp"`` (extra ``aiohttp``),
        which takes a fraction of the time, for HTTP/1.1 on asyncio only. The client stays one of
        httpx, with its errors, timeouts, limits and cookies.
    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: for a value out of range or contradictory settings, naming them.

    >>> import anyio
    >>> async def main() -> str:
    ...     async with AsyncConnectionManager(timeout=5) as manager:
    ...         return manager.get_stats()["circuit_breaker_state"]
    >>> anyio.run(main)
    'closed'
    """

    _hop = AsyncHttpxHop

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
        ok_statuses: Iterable[int] = frozenset(),
        status_forcelist: Iterable[int] = defaults.RETRYABLE_STATUS_CODES,
        allowed_methods: Optional[Iterable[str]] = defaults.IDEMPOTENT_METHODS,
        backoff_max: float = defaults.DEFAULT_BACKOFF_MAX,
        backoff_jitter: float = defaults.DEFAULT_BACKOFF_JITTER,
        retry_after_max: float = defaults.DEFAULT_RETRY_AFTER_MAX,
        retry_budget: Optional[RetryBudget] = UNSET,
        rate_limit_mode: str = defaults.DEFAULT_RATE_LIMIT_MODE,
        rate_limiter: Any = None,
        follow_server_limits: bool = False,
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
        http_backend: str = defaults.DEFAULT_HTTP_BACKEND,
        **unknown: NoReturn,
    ) -> None:
        given = dict(locals())
        refuse_unknown(given.pop("unknown"), AsyncConnectionManager.__init__)
        self._construct(given, AsyncPluginManager(run_in_thread))

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
        if is_replaced(LIBRARY_ASYNC_CLIENT, "request"):
            return await super().request(method, url, **kwargs)
        return await self._call(method, url, False, kwargs)

    @asynccontextmanager
    async def stream(
        self, method: str, url: Union[hx.URL, str], **kwargs: Any
    ) -> AsyncIterator[hx.Response]:
        """Send a request and leave the body to be read; a context manager, as httpx's."""
        response = await self._call(method, url, True, kwargs)
        try:
            yield response
        finally:
            if isinstance(response, hx.Response):  # what an error hook gave may be anything
                await response.aclose()

    async def get(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``GET`` request; see :meth:`request`."""
        response: hx.Response = await self._verb("get", url, kwargs)
        return response

    async def options(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send an ``OPTIONS`` request; see :meth:`request`."""
        response: hx.Response = await self._verb("options", url, kwargs)
        return response

    async def head(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``HEAD`` request; see :meth:`request`."""
        response: hx.Response = await self._verb("head", url, kwargs)
        return response

    async def post(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``POST`` request; see :meth:`request`."""
        response: hx.Response = await self._verb("post", url, kwargs)
        return response

    async def put(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``PUT`` request; see :meth:`request`."""
        response: hx.Response = await self._verb("put", url, kwargs)
        return response

    async def patch(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``PATCH`` request; see :meth:`request`."""
        response: hx.Response = await self._verb("patch", url, kwargs)
        return response

    async def delete(self, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a ``DELETE`` request; see :meth:`request`."""
        response: hx.Response = await self._verb("delete", url, kwargs)
        return response

    def _verb(
        self, name: str, url: Union[hx.URL, str], kwargs: Mapping[str, Any]
    ) -> Awaitable[Any]:
        if is_replaced(LIBRARY_ASYNC_CLIENT, name):
            double: Awaitable[Any] = getattr(super(), name)(url, **kwargs)
            return double
        return self.request(name.upper(), url, **kwargs)

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
        return await self._send_call(request, stream, auth, follow_redirects, settings)

    async def _send_single_request(self, request: hx.Request) -> hx.Response:
        """Send one hop of a call: httpx calls this for each redirect and each leg of an auth."""
        return await self._send_hop(request)

    def send_once(self, request: hx.Request) -> Answer:
        """Send exactly once, without the pipeline."""
        if _SHORTCUTS.sends_once(self, AsyncConnectionManager):
            return send_once(self, request)
        return super()._send_single_request(request)

    # -- how it is done here

    def _exchanger(self) -> Exchanger:
        from .streaming._httpx_exchange import AsyncHttpxExchanger

        return AsyncHttpxExchanger(self)

    def _send_upstream(
        self, request: hx.Request, stream: bool, auth: Any, follow_redirects: Any
    ) -> Answer:
        if _SHORTCUTS.sends(self, HttpxCalls, request, auth):
            return send_following(self, request, stream, self._follows(follow_redirects))
        return super(HttpxCalls, self).send(
            request, stream=stream, auth=auth, follow_redirects=follow_redirects
        )

    def _send_own(self, request: hx.Request, **options: Any) -> Answer:
        return self.send(request, **options)

    async def _read_or_close(self, response: hx.Response) -> None:
        await read_or_close(response)

    async def _close_response(self, response: hx.Response) -> None:
        await close_shielded(response)

    def _before(self, context: RequestContext) -> Awaitable[None]:
        return self._plugins.run_pre_request_hooks(context)

    async def _run_post_response_hooks(self, context: ResponseContext) -> None:
        await self._plugins.run_post_response_hooks(context)

    async def _on_error(self, context: ErrorContext) -> None:
        await self._plugins.run_error_hooks(context)

    # -- hooks

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
        from .batch import arun_batch, check_batch

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

    def _batch_responses(self) -> Responses:
        from .batch._httpx_responses import HttpxResponses

        return HttpxResponses(self)

    def _enter_batch(self, max_workers: int) -> None:
        _hook_threads.set(anyio.CapacityLimiter(max_workers))
