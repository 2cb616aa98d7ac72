"""``PipelineClient``: an ``httpx.Client`` with the pipeline in its middle.

Holds how the calls of ``_httpx_calls`` are sent, read and closed where methods block, and the
public methods; decides nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, Tuple, Union

from ._httpx_calls import HttpxCalls
from ._httpx_shortcuts import Shortcuts
from ._sync import run_sync
from ._sync_httpx import SyncHttpxHop, read_or_close, send_following, send_once
from .batch.crew import current_crew
from .batch.faces import Batching
from .call import Call
from .plugins import ErrorContext, PluginManager, RequestContext, ResponseContext
from .renewal import RenewableClient
from .streaming.faces import Streaming
from .transport import LIBRARY_CLIENT, USE_CLIENT_DEFAULT, hx, is_replaced
from .types import RequestData

if TYPE_CHECKING:
    from .batch.recorder import Responses
    from .streaming.exchange import Exchanger

_SHORTCUTS = Shortcuts(LIBRARY_CLIENT)


class PipelineClient(Streaming, Batching[hx.Response], HttpxCalls, RenewableClient):
    """An ``httpx.Client`` with retries, rate limit, circuit breaker, deadline and hooks.

    Takes the parameters of
    :class:`~requests_connection_manager.async_manager.AsyncConnectionManager`, by name, and does
    the same as that where calls block. Thread-safe in all that it adds.

    :raises TypeError: for a value of the wrong type, or an unknown name.
    :raises ValueError: for a value out of range or contradictory settings, naming them.

    >>> with PipelineClient(max_retries=1) as client:
    ...     client.get_stats()["circuit_breaker_state"]
    'closed'
    """

    _hop = SyncHttpxHop

    def __init__(self, **given: Any) -> None:
        self._construct(given, PluginManager())

    # -- one call

    def request(self, method: str, url: Union[hx.URL, str], **kwargs: Any) -> hx.Response:
        """Send a request with everything that the manager adds.

        :param kwargs: the parameters of ``httpx.Client.request``, and settings for this call
            alone, such as ``max_retries=0``, ``total_timeout=5`` or ``rate_limit_mode="wait"``.
        :returns: the response; its ``attempts`` has the history.
        :raises RateLimitExceeded: the rate limit refused the first attempt.
        :raises CircuitBreakerOpen: the circuit is open.
        :raises MaxRetriesExceeded: a failure worth a retry is not retried any more.
        :raises DeadlineExceeded: ``total_timeout`` is over.
        :raises httpx.HTTPError: httpx's own errors; all of the above are too.
        """
        if is_replaced(LIBRARY_CLIENT, "request"):
            return super().request(method, url, **kwargs)
        return run_sync(self._call(method, url, False, kwargs))

    @contextmanager
    def stream(self, method: str, url: Union[hx.URL, str], **kwargs: Any) -> Iterator[hx.Response]:
        """Send a request and leave the body to be read; a context manager, as httpx's."""
        response = run_sync(self._call(method, url, True, kwargs))
        try:
            yield response
        finally:
            if isinstance(response, hx.Response):  # what an error hook gave may be anything
                response.close()

    def get(self, url: Union[hx.URL, str], **kwargs: Any) -> Any:
        """Send a ``GET`` request; see :meth:`request`."""
        return self._verb("get", url, kwargs)

    def options(self, url: Union[hx.URL, str], **kwargs: Any) -> Any:
        """Send an ``OPTIONS`` request; see :meth:`request`."""
        return self._verb("options", url, kwargs)

    def head(self, url: Union[hx.URL, str], **kwargs: Any) -> Any:
        """Send a ``HEAD`` request; see :meth:`request`."""
        return self._verb("head", url, kwargs)

    def post(self, url: Union[hx.URL, str], **kwargs: Any) -> Any:
        """Send a ``POST`` request; see :meth:`request`."""
        return self._verb("post", url, kwargs)

    def put(self, url: Union[hx.URL, str], **kwargs: Any) -> Any:
        """Send a ``PUT`` request; see :meth:`request`."""
        return self._verb("put", url, kwargs)

    def patch(self, url: Union[hx.URL, str], **kwargs: Any) -> Any:
        """Send a ``PATCH`` request; see :meth:`request`."""
        return self._verb("patch", url, kwargs)

    def delete(self, url: Union[hx.URL, str], **kwargs: Any) -> Any:
        """Send a ``DELETE`` request; see :meth:`request`."""
        return self._verb("delete", url, kwargs)

    def _verb(self, name: str, url: Union[hx.URL, str], kwargs: Mapping[str, Any]) -> Any:
        if is_replaced(LIBRARY_CLIENT, name):
            return getattr(super(), name)(url, **kwargs)
        return self.request(name.upper(), url, **kwargs)

    def send(
        self,
        request: hx.Request,
        *,
        stream: bool = False,
        auth: Any = USE_CLIENT_DEFAULT,
        follow_redirects: Any = USE_CLIENT_DEFAULT,
        **settings: Any,
    ) -> hx.Response:
        """Send a request, as ``httpx.Client.send``; settings of a call are taken too.

        Headers that the request holds count as given with the call.
        """
        return run_sync(self._send_call(request, stream, auth, follow_redirects, settings))

    def batch_request(
        self,
        requests_data: Iterable[RequestData],
        max_workers: int = 5,
        return_exceptions: bool = True,
    ) -> List[Any]:
        """Send many requests concurrently, on threads, and return the results in input order.

        :param requests_data: any iterable of ``(method, url, kwargs)``; checked before the first
            is sent.
        :param max_workers: how many are under way at a time.
        :param return_exceptions: ``True``: a failure is an item of the result; ``False``: the first
            one is raised, and what had not started is left out.
        :raises TypeError: for an item of another form, with its index.
        """
        from .batch import check_batch, run_batch

        checked = check_batch(requests_data, max_workers)

        def perform(item: Tuple[str, str, Dict[str, Any]]) -> Any:
            method, url, kwargs = item
            return self.request(method, url, **kwargs)

        return run_batch(perform, checked, max_workers, return_exceptions)

    def _batch_responses(self) -> Responses:
        from .batch._httpx_responses import HttpxResponses

        return HttpxResponses(self)

    def _send_single_request(self, request: hx.Request) -> hx.Response:
        """Send one hop of a call: httpx calls this for each redirect and each leg of an auth."""
        return run_sync(self._send_hop(request))

    def send_once(self, request: hx.Request) -> hx.Response:
        """Send exactly once, without the pipeline."""
        if _SHORTCUTS.sends_once(self, PipelineClient):
            return send_once(self, request)
        return super()._send_single_request(request)

    # -- how it is done here

    def _exchanger(self) -> Exchanger:
        from .streaming._httpx_exchange import HttpxExchanger

        return HttpxExchanger(self)

    def _adopt(self, call: Call, request: hx.Request) -> None:
        super()._adopt(call, request)
        call.crew = current_crew.get()

    async def _send_upstream(
        self, request: hx.Request, stream: bool, auth: Any, follow_redirects: Any
    ) -> hx.Response:
        if _SHORTCUTS.sends(self, HttpxCalls, request, auth):
            return send_following(self, request, stream, self._follows(follow_redirects))
        return super(HttpxCalls, self).send(
            request, stream=stream, auth=auth, follow_redirects=follow_redirects
        )

    async def _send_own(self, request: hx.Request, **options: Any) -> hx.Response:
        return self.send(request, **options)

    async def _read_or_close(self, response: hx.Response) -> None:
        await read_or_close(response)

    async def _close_response(self, response: hx.Response) -> None:
        response.close()

    async def _before(self, context: RequestContext) -> None:
        self._core.plugins.execute_pre_request_hooks(context)

    async def _run_post_response_hooks(self, context: ResponseContext) -> None:
        self._core.plugins.execute_post_response_hooks(context)

    async def _on_error(self, context: ErrorContext) -> None:
        self._core.plugins.execute_error_hooks(context)


__all__ = ["PipelineClient"]
