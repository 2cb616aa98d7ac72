"""``ApiClient``: the front door of the engine.

Holds the documented call; how it is carried out is the strategy's affair.
"""

from __future__ import annotations

import copy
from types import TracebackType
from typing import Any, Mapping, MutableMapping, Optional, Type, TypeVar, overload

from .interfaces.base_request_strategy import BaseRequestStrategy
from .request_model import ApiRequestModel

M = TypeVar("M")
Self = TypeVar("Self", bound="ApiClient")


class ApiClient:
    """Makes API calls by a strategy.

    :param strategy: a ``RetryRequestStrategy``, or a ``BaseRequestStrategy`` of yours.
    :raises TypeError: when the strategy can't execute requests.

    Use it as an asynchronous context manager, or call :meth:`close`, to close the strategy's HTTP
    client too. Safe to use from several tasks.
    """

    def __init__(self, strategy: BaseRequestStrategy) -> None:
        if isinstance(strategy, type) or not callable(getattr(strategy, "execute", None)):
            raise TypeError(
                f"strategy must be an object such as RetryRequestStrategy(http=…), not {strategy!r}"
            )
        self.strategy = strategy
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else repr(self.strategy)}>"

    @overload
    async def call_api(
        self,
        url: str,
        method: str = ...,
        headers: Optional[Mapping[str, str]] = ...,
        params: Optional[Mapping[str, Any]] = ...,
        data: Any = ...,
        json_payload: Any = ...,
        timeout: Optional[float] = ...,
        response_key: Optional[str] = ...,
        model: None = ...,
        **settings: Any,
    ) -> Any: ...

    @overload
    async def call_api(
        self,
        url: str,
        method: str = ...,
        headers: Optional[Mapping[str, str]] = ...,
        params: Optional[Mapping[str, Any]] = ...,
        data: Any = ...,
        json_payload: Any = ...,
        timeout: Optional[float] = ...,
        response_key: Optional[str] = ...,
        *,
        model: Type[M],
        **settings: Any,
    ) -> M: ...

    @overload
    async def call_api(
        self,
        url: str,
        method: str,
        headers: Optional[Mapping[str, str]],
        params: Optional[Mapping[str, Any]],
        data: Any,
        json_payload: Any,
        timeout: Optional[float],
        response_key: Optional[str],
        model: Type[M],
        **settings: Any,
    ) -> M: ...

    @overload
    async def call_api(
        self,
        url: str,
        method: str = ...,
        headers: Optional[Mapping[str, str]] = ...,
        params: Optional[Mapping[str, Any]] = ...,
        data: Any = ...,
        json_payload: Any = ...,
        timeout: Optional[float] = ...,
        response_key: Optional[str] = ...,
        model: Any = ...,
        **settings: Any,
    ) -> Any: ...

    async def call_api(
        self,
        url: str,
        method: str = "GET",
        headers: Optional[Mapping[str, str]] = None,
        params: Optional[Mapping[str, Any]] = None,
        data: Any = None,
        json_payload: Any = None,
        timeout: Optional[float] = None,
        response_key: Optional[str] = None,
        model: Any = None,
        **settings: Any,
    ) -> Any:
        """Make an API call and return the data of its response.

        :param url: an absolute URL.
        :param method: the HTTP method.
        :param headers: headers of this request.
        :param params: query parameters; those that are ``None`` are left out.
        :param data: the body: bytes, text, a form as a mapping, a file, an iterable of bytes.
        :param json_payload: the body as JSON.
        :param timeout: seconds for one attempt, body included; ``None``: the HTTP client's default.
        :param response_key: return the value of this key of the response.
        :param model: validate against it: a pydantic model, ``List[Model]``, a dataclass or any
            other type (extra ``pydantic``); the result is typed accordingly.
        :param settings: for this call alone, where the strategy is a ``RetryRequestStrategy``:
            ``max_retries``, ``backoff_factor`` (its ``backoff``), ``backoff_max``,
            ``backoff_jitter``, ``status_forcelist``, ``allowed_methods``, ``raise_on_status``,
            ``retry_after_max``, ``retry_budget``, ``idempotency_key_header``, ``total_timeout`` and
            ``rate_limit_mode``, as the strategy has them; ``rate_limit_requests=None`` leaves the
            limiter out, ``circuit_breaker_failure_threshold=None`` the breaker.
        :returns: JSON as Python values, text as ``str``, other content as ``bytes``, ``None``
            without a body; or an instance of ``model``.
        :raises ApiHttpError: the server answered 4xx or 5xx; it has ``status_code``, ``headers``
            and ``body``, and is an ``ApiRateLimitError`` too for a 429.
        :raises ApiTimeoutError: an attempt, or ``total_timeout``, took too long.
        :raises ApiNetworkError: no connection, or one that broke.
        :raises ApiCircuitOpenError: the breaker is open; nothing was sent.
        :raises ApiValidationError: the response is not of the promised form.
        :raises MaxRetriesExceeded: also one of the above, after retries.
        :raises TypeError: for an argument of the wrong type, or one that is not known.
        :raises ValueError: for an argument out of range.
        :raises RuntimeError: the client is closed.

        What is wrong with an argument is found before anything is sent.
        """
        if self._closed:
            raise RuntimeError("this ApiClient is closed; create a new one")
        request = ApiRequestModel(
            method,
            url,
            # Hooks write into it.
            dict(headers) if isinstance(headers, Mapping) else headers,
            copy.copy(params) if isinstance(params, (MutableMapping, list)) else params,
            data,
            json_payload,
            timeout,
            response_key,
            model,
        )
        return await self.strategy.execute(request, **settings)

    async def close(self) -> None:
        """Close the strategy and its HTTP client; doing it twice changes nothing."""
        if not self._closed:
            self._closed = True
            if hasattr(self.strategy, "close"):
                await self.strategy.close()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()


__all__ = ["ApiClient"]
