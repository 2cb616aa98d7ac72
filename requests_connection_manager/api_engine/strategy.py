"""``RetryRequestStrategy``: calls of the engine, on the one pipeline.

Holds what lives one level above a hop: hooks, the settings of a call, the key and the model of the
response.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Optional, Tuple, Type

from ..call_events import SilentReport, call_report
from ..events import Event, Listener
from ..failure import attach_history, report_failure
from ..management import build_core
from ..pipeline import run_pipeline
from ..plugins import PluginManager
from ..settings import CALL, CALL_SETTINGS, check_settings, unknown_setting
from ..types import Clock
from ..validation import pick, validate
from . import failures
from ._hop import EngineHop, Stages, awaited
from .breaker import breaker_for
from .interfaces.base_circuit_breaker import BaseCircuitBreaker
from .interfaces.base_http_client import BaseHttpClient
from .interfaces.base_request_hook import BaseRequestHook
from .interfaces.base_request_model import BaseRequestModel
from .interfaces.base_request_strategy import BaseRequestStrategy
from .limiter import Limiter, limiter_for
from .request_model import check_request

_SETTINGS = (
    "allowed_methods",
    "backoff_jitter",
    "backoff_max",
    "idempotency_key_header",
    "rate_limit_mode",
    "raise_on_status",
    "retry_after_max",
    "retry_budget",
    "status_forcelist",
    "total_timeout",
)

# What a call of a manager takes and one of the engine does not, and why.
_NOT_HERE = {
    "connect_timeout": "give timeout=, the seconds for a whole attempt",
    "read_timeout": "give timeout=, the seconds for a whole attempt",
    "raise_for_status": "an error status is an ApiHttpError in any case",
    "ok_statuses": "an error status is an ApiHttpError in any case",
}
_OF_A_CALL = CALL_SETTINGS - set(_NOT_HERE)


class RetryRequestStrategy(BaseRequestStrategy):
    """Sends through ``http``, with retries, a circuit breaker and a rate limit.

    The delay before retry *n* is ``backoff * 2 ** (n - 1)`` seconds, without jitter: 2 and 4 for
    the default. A ``Retry-After`` of the server raises it. What may be retried depends on how far
    a request got: anything that was not sent, then only methods that may be carried out twice.
    The time of ``total_timeout`` begins with the first ``before`` hook; as with the managers, hooks
    are not cut short, and a response that came in time is not lost for a slow ``after`` hook.

    :param http: what sends: an ``AioHttpClient``, ``HttpxHttpClient`` or ``BaseHttpClient``.
    :param breaker: a ``CircuitBreaker``, a ``BaseCircuitBreaker`` of yours, or ``None``.
    :param limiter: ``{"key": …, "max_requests": …, "period": …}``, a ``TokenBucketRateLimiter``,
        a ``BaseRateLimiter`` of yours, or ``None``. Attempts wait for their token.
    :param hooks: ``BaseRequestHook`` objects, run in this order.
    :param max_retries: retries after the first attempt; default 3.
    :param backoff: seconds before the first retry; default 2.
    :param clock: where time comes from; for tests.
    :param settings: ``total_timeout``, ``status_forcelist``, ``allowed_methods``,
        ``backoff_max``, ``backoff_jitter``, ``raise_on_status``, ``retry_after_max``,
        ``retry_budget``, ``idempotency_key_header`` or ``rate_limit_mode``, as a manager has them;
        the defaults are its too, but ``backoff_jitter=0`` and ``rate_limit_mode="wait"``.
    :raises TypeError: for a value of the wrong type, or an unknown setting.
    :raises ValueError: for a value out of range.

    Safe to use from several tasks, threads and event loops, as far as ``http`` is.
    """

    def __init__(
        self,
        http: BaseHttpClient,
        breaker: Optional[BaseCircuitBreaker] = None,
        limiter: Limiter = None,
        hooks: Iterable[BaseRequestHook] = (),
        max_retries: int = 3,
        backoff: float = 2,
        *,
        clock: Optional[Clock] = None,
        **settings: Any,
    ) -> None:
        for name, part in (("http", http), ("breaker", breaker), ("limiter", limiter)):
            _refuse_class(name, part)
        if not callable(getattr(http, "request", None)):
            raise TypeError(f"http must be a BaseHttpClient, not a {type(http).__name__}")
        self._core = build_core(
            _core_settings(max_retries, backoff, settings), None, PluginManager(), clock, 1024
        )
        self._stages = Stages(http, breaker_for(breaker), *limiter_for(limiter, clock))
        self.hooks = _checked_hooks(hooks)
        self.http, self.breaker, self.limiter = http, breaker, limiter
        self.max_retries, self.backoff = max_retries, backoff

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} on {type(self.http).__name__} "
            f"max_retries={self.max_retries!r} backoff={self.backoff!r}>"
        )

    async def execute(self, request: BaseRequestModel, **settings: Any) -> Any:
        """Return the data of the response: ``response_key`` taken, ``model`` validated.

        :param settings: see ``ApiClient.call_api``.
        :raises ApiError: see ``ApiClient.call_api``.
        """
        overrides = _overrides(settings)
        with call_report(self._core, request) as report:
            return await self._call(request, overrides, report)

    async def _call(
        self, request: BaseRequestModel, overrides: Dict[str, Any], report: SilentReport
    ) -> Any:
        core = self._core
        began = core.clock.monotonic()
        call = hop = None
        try:
            await self._run_hooks("before", request)
            check_request(request)
            call = core.begin(request.url, overrides, began)
            hop = EngineHop(core, self._stages, call, request)
            received = await run_pipeline(hop)
            report.answered(received.status)
            await self._run_hooks("after", request, received.data)
            data = received.data
            if request.response_key is not None:
                data = pick(data, request.response_key)
            return data if request.model is None else validate(data, request.model)
        except Exception as exc:
            if call is not None:
                attach_history(exc, call)
            if hop is not None and hop.trouble is not None:
                failures.follow(exc, hop.trouble)
            report_failure(core, exc, str(request.method), str(request.url))
            raise

    async def _run_hooks(self, name: str, request: BaseRequestModel, *args: Any) -> None:
        for hook in self.hooks:
            await awaited(hook, name, request, *args)

    async def close(self) -> None:
        """Close the HTTP client, if it can be closed."""
        if hasattr(self.http, "close"):
            await awaited(self.http, "close")

    def add_listener(self, listener: Listener, *types: Type[Event]) -> None:
        """Call ``listener(event)`` for what happens from now on; see the managers' events."""
        self._core.events.add(listener, *types)

    def remove_listener(self, listener: Listener) -> None:
        """Call ``listener`` no more. Raises ``ValueError`` when it was never added."""
        self._core.events.remove(listener)


def _core_settings(max_retries: Any, backoff: Any, given: Mapping[str, Any]) -> Dict[str, Any]:
    for name in given:
        if name not in _SETTINGS:
            raise TypeError(unknown_setting(name, _SETTINGS, "RetryRequestStrategy"))
    return {
        "backoff_jitter": 0,
        "rate_limit_mode": "wait",
        **given,
        "max_retries": max_retries,
        "backoff_factor": backoff,
        # These stages are objects of their own here.
        "rate_limit_requests": None,
        "circuit_breaker_failure_threshold": None,
    }


def _overrides(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the settings of a single call, checked."""
    for name in given:
        if name in _NOT_HERE:
            raise TypeError(f"call_api takes no {name}: {_NOT_HERE[name]}")
        if name not in _OF_A_CALL:
            raise TypeError(unknown_setting(name, _OF_A_CALL, "call_api"))
    return check_settings(given, CALL, "call_api")


def _refuse_class(name: str, part: Any) -> None:
    if isinstance(part, type):
        raise TypeError(f"{name} must be an object, not the class {part.__name__}; call it first")


def _checked_hooks(hooks: Any) -> Tuple[BaseRequestHook, ...]:
    try:
        known = tuple(hooks)
    except TypeError:
        raise TypeError(f"hooks must be a list of BaseRequestHook, not {hooks!r}") from None
    for hook in known:
        _refuse_class("each of hooks", hook)
        if not callable(getattr(hook, "before", None)) or not callable(
            getattr(hook, "after", None)
        ):
            raise TypeError(
                f"hooks must have the methods before and after, which {hook!r} has not; extend "
                "BaseRequestHook"
            )
    return known


__all__ = ["RetryRequestStrategy"]
