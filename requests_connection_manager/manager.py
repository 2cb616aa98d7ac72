"""``ConnectionManager``: a ``requests.Session`` with the pipeline below and hooks around it.

Holds what lives one level above a hop: hooks, fallback, the settings of a call, batch. Every
attempt, and every decision about one, is the adapter's and the pipeline's.
"""

from __future__ import annotations

import copy
import os
import ssl
import threading
import weakref
from collections import OrderedDict
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Generator,
    Iterable,
    List,
    Mapping,
    NoReturn,
    Optional,
    Tuple,
    Union,
)

import requests
from requests.structures import CaseInsensitiveDict

from . import defaults
from ._lazy_names import lazy_function
from ._redirect_request import RedirectRequest, crosses_origin, remember_origin
from ._requests_timeouts import check_requests_timeout, resolve_timeout
from .adapter import PipelineAdapter, current_call
from .batch.crew import current_crew
from .batch.faces import Batching
from .call import Call
from .call_events import call_report
from .checks import check_pools, check_tls, refuse_unknown
from .core import Core, take_overrides
from .environment import Environment
from .management import Management, build_core, check_sibling
from .origins import origin_of
from .plugins import ErrorContext, PluginManager, RequestContext, ResponseContext
from .policies.retry_budget import RetryBudget
from .preparation import PreparingSession
from .redaction import is_sensitive_parameter
from .settings import UNSET
from .streaming.faces import Streaming
from .types import BatchResults, Clock, RequestData

if TYPE_CHECKING:
    from .batch.recorder import Responses
    from .streaming.exchange import Exchanger

_unsuccessful = lazy_function(__package__, "_sync", "unsuccessful")

_REQUEST_NAMES = (
    "params",
    "data",
    "headers",
    "cookies",
    "files",
    "auth",
    "timeout",
    "allow_redirects",
    "proxies",
    "hooks",
    "stream",
    "verify",
    "cert",
    "json",
)
_SEND_NAMES = ("timeout", "allow_redirects", "proxies", "stream", "verify", "cert")


class ConnectionManager(Streaming, Batching[requests.Response], Management, PreparingSession):
    """A ``requests.Session`` with retries, rate limit, circuit breaker, deadline and hooks.

    Everything that works with a session works with it. Thread-safe in all that it adds.

    :param pool_connections: number of connection pools to cache.
    :param pool_maxsize: number of connections to keep in each pool.
    :param max_retries: retries after the first attempt, or a urllib3 ``Retry``; 0 switches off.
    :param backoff_factor: seconds before the first retry; doubled before each further one.
    :param rate_limit_requests: attempts allowed per period; ``None`` switches off.
    :param rate_limit_period: length of the period in seconds.
    :param circuit_breaker_failure_threshold: consecutive failures that open the circuit of a
        scope; ``None`` switches off.
    :param circuit_breaker_recovery_timeout: seconds until an open circuit lets a probe through.
    :param timeout: seconds to connect, and seconds between two reads; also a tuple or ``None``.
    :param endpoint_configs: endpoint pattern -> settings of its own.
    :param api_key: key sent in the header ``api_key_header``.
    :param api_key_header: name of that header.
    :param bearer_token: token sent as ``Authorization: Bearer``.
    :param oauth2_token: access token sent as ``Authorization: Bearer``.
    :param basic_auth: ``(username, password)``.
    :param verify: verify TLS certificates; or the path of a CA bundle.
    :param cert: client certificate file, or ``(certificate, key)`` files.
    :param connect_timeout: seconds to connect, instead of ``timeout``.
    :param read_timeout: seconds between two reads, instead of ``timeout``.
    :param ssl_context: an ``ssl.SSLContext``, used as it is, instead of ``verify`` and ``cert``.
    :param total_timeout: seconds for a whole call: waits, redirects, retries and the body.
    :param raise_on_status: raise ``MaxRetriesExceeded`` when retries end on a status; ``False``:
        return the last response.
    :param raise_for_status: raise ``HTTPError`` for any final 4xx or 5xx.
    :param ok_statuses: statuses that are answers: neither raised nor retried, no failures for the
        circuit breaker.
    :param status_forcelist: statuses worth a retry.
    :param allowed_methods: methods that may be re-sent once the server may have seen them.
    :param backoff_max: longest delay in seconds.
    :param backoff_jitter: random share added to a delay; 0 is exact.
    :param retry_after_max: longest hint of a server, in seconds, that is waited for.
    :param retry_budget: limits retries per origin; ``None`` switches off.
    :param rate_limit_mode: ``"raise"`` or ``"wait"``.
    :param rate_limiter: an object of the ``RateLimiter`` protocol instead of requests/period.
    :param follow_server_limits: without a limiter of your own, too, pause a scope for as long as a
        429 or a used-up quota says.
    :param half_open_max_calls: concurrent probes of a half-open circuit.
    :param circuit_breaker: a ``pybreaker.CircuitBreaker`` of yours, for all scopes.
    :param idempotency_key_header: header that carries a key per call, which makes POST and PATCH
        re-sendable; e.g. ``"Idempotency-Key"``.
    :param auth: any requests auth, as ``session.auth``.
    :param headers: default headers, as ``session.headers.update``.
    :param api_key_query: name of the query parameter that carries ``api_key`` instead of the
        header, or a ``(name, key)`` tuple.
    :param max_scopes: how many origins are remembered at a time.
    :param clock: where time comes from; for tests.
    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: for a value out of range or contradictory settings, naming them.

    >>> with ConnectionManager(timeout=5) as manager:
    ...     manager.get_stats()["circuit_breaker_state"]
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
        verify: Union[bool, str] = True,
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
        headers: Optional[Mapping[str, str]] = None,
        api_key_query: Union[str, Tuple[str, str], None] = None,
        max_scopes: int = defaults.DEFAULT_MAX_SCOPES,
        clock: Optional[Clock] = None,
        **unknown: NoReturn,
    ) -> None:
        given = dict(locals())
        refuse_unknown(unknown, ConnectionManager.__init__)
        pools = check_pools(pool_connections, pool_maxsize)
        check_tls(verify, cert, ssl_context)
        check_requests_timeout(timeout, "manager")
        core = build_core(given, endpoint_configs, PluginManager(), clock, max_scopes)
        for pattern, config in core.configuration.endpoints.items():
            _check_timeout_in(pattern, config)
        super().__init__()
        self._core = core
        self._environment = Environment()
        self._known_headers = (), None
        self._ssl_context = ssl_context
        self.verify = verify
        self.cert = cert
        self.auth = auth
        if headers is not None:
            self.headers.update(headers)
        self._mount_pipeline(*pools)
        _alive.add(self)

    def _mount_pipeline(self, pool_connections: int, pool_maxsize: int) -> None:
        self.adapters = OrderedDict()
        for prefix in ("https://", "http://"):
            self.mount(
                prefix,
                PipelineAdapter(
                    pool_connections,
                    pool_maxsize,
                    self._core.configuration.default.retry,
                    ssl_context=self._ssl_context,
                ),
            )

    @property
    def core(self) -> Core:
        """The settings, live state and events; shared with the adapters."""
        return self._core

    def _exchanger(self) -> Exchanger:
        from .streaming._requests_exchange import RequestsExchanger

        return RequestsExchanger(self)

    def mount(self, prefix: str, adapter: Any) -> None:
        """Register an adapter for a prefix; see ``PipelineAdapter`` to keep the pipeline."""
        # requests' own constructor mounts before there is a core.
        core = self.__dict__.get("_core")
        if isinstance(adapter, PipelineAdapter) and core is not None:
            adapter.manage(core.root)
        super().mount(prefix, adapter)

    def add_endpoint_config(self, pattern: Any, config: Dict[str, Any]) -> None:
        """Give the URLs of ``pattern`` settings of their own; see ``Management``.

        :raises TypeError: for a value of the wrong type.
        :raises ValueError: for a pattern that can't be understood, a value out of range or an
            unknown setting.
        """
        _check_timeout_in(pattern, config)
        super().add_endpoint_config(pattern, config)

    def _change_settings(self, given: Dict[str, Any]) -> None:
        check_requests_timeout(given.get("timeout"), "manager")
        super()._change_settings(given)
        self._manage_adapters()

    def _manage_adapters(self) -> None:
        for adapter in self.adapters.values():
            if isinstance(adapter, PipelineAdapter):
                adapter.manage(self._core.root)

    def with_options(self, **settings: Any) -> ConnectionManager:
        """Return a sibling that differs in some settings and shares everything else.

        The two share connections, cookies, headers, credentials, endpoint settings, hooks,
        listeners, breakers and limiters; what either changes of these holds for both. Attributes
        such as ``auth``, ``verify`` and ``proxies`` are copied. Closing either closes the
        connections.

        :param settings: what a single call may be given, and ``timeout``.
        :raises TypeError: for a value of the wrong type.
        :raises ValueError: for a value out of range, or a setting that can't differ.

        >>> manager = ConnectionManager()
        >>> patient = manager.with_options(max_retries=8, backoff_factor=1)
        >>> patient.explain("GET", "https://api.test/")["settings"]["max_retries"]
        8
        >>> patient.cookies is manager.cookies
        True
        """
        check_requests_timeout(settings.get("timeout"), "with_options")
        core = self._core.derived(check_sibling(settings))
        sibling = type(self).__new__(type(self))
        sibling.__dict__.update(self.__dict__, _core=core)
        _alive.add(sibling)
        return sibling

    # -- TLS at run time

    def set_ssl_verification(self, verify: Union[bool, str]) -> None:
        """Verify TLS certificates, or not, or against the CA bundle at a path.

        New connections use it; those in use finish as they are.
        """
        check_tls(verify, None, self._ssl_context)
        self.verify = verify

    def set_client_certificate(self, cert: Union[str, Tuple[str, str]]) -> None:
        """Present a client certificate: a file, or ``(certificate, key)`` files."""
        check_tls(True, cert, self._ssl_context)
        self.cert = cert

    def set_ssl_context(self, ssl_context: Any) -> None:
        """Use an ``ssl.SSLContext`` as it is for new connections; ``None``: none of your own."""
        check_tls(self.verify, self.cert, ssl_context)
        self._ssl_context = ssl_context
        for adapter in self.adapters.values():
            if isinstance(adapter, PipelineAdapter):
                adapter.use_ssl_context(ssl_context)

    # -- one call

    def request(
        self,
        method: str,
        url: Any,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        cookies: Any = None,
        files: Any = None,
        auth: Any = None,
        timeout: Any = UNSET,
        allow_redirects: bool = True,
        proxies: Any = None,
        hooks: Any = None,
        stream: Optional[bool] = None,
        verify: Any = None,
        cert: Any = None,
        json: Any = None,
        **settings: Any,
    ) -> requests.Response:
        """Send a request with everything that the manager adds.

        :param settings: settings for this call alone, such as ``max_retries=0``,
            ``total_timeout=5`` or ``rate_limit_mode="wait"``. The other parameters are those of
            ``requests.Session.request``; ``timeout=None`` means no timeout.
        :returns: the response; its ``attempts`` has the history.
        :raises RateLimitExceeded: the rate limit refused the first attempt.
        :raises CircuitBreakerOpen: the circuit is open.
        :raises MaxRetriesExceeded: a failure worth a retry is not retried any more.
        :raises DeadlineExceeded: ``total_timeout`` is over.
        :raises requests.RequestException: requests' own errors; all of the above are too.
        """
        given = {
            "params": params,
            "data": data,
            "headers": headers,
            "cookies": cookies,
            "files": files,
            "auth": auth,
            "proxies": proxies,
            "hooks": hooks,
            "stream": stream,
            "verify": verify,
            "cert": cert,
            "json": json,
        }
        kwargs = {name: value for name, value in given.items() if value is not None}
        if timeout is not UNSET:
            kwargs["timeout"] = timeout
        if allow_redirects is not True:
            kwargs["allow_redirects"] = allow_redirects
        if settings:
            kwargs.update(settings)
        if isinstance(url, bytes):
            url = url.decode("utf-8")
        return self._run_hooks(RequestContext(method, url, **kwargs), self._perform)

    if TYPE_CHECKING:
        # At run time these are Session's own, which test doubles patch; what they hand on to
        # request() includes the settings of a call.
        def get(self, url: Any, params: Any = None, **kwargs: Any) -> requests.Response:
            """Send a ``GET`` request; see :meth:`request`."""

        def options(self, url: Any, **kwargs: Any) -> requests.Response:
            """Send an ``OPTIONS`` request; see :meth:`request`."""

        def head(self, url: Any, **kwargs: Any) -> requests.Response:
            """Send a ``HEAD`` request; see :meth:`request`."""

        def post(
            self, url: Any, data: Any = None, json: Any = None, **kwargs: Any
        ) -> requests.Response:
            """Send a ``POST`` request; see :meth:`request`."""

        def put(self, url: Any, data: Any = None, **kwargs: Any) -> requests.Response:
            """Send a ``PUT`` request; see :meth:`request`."""

        def patch(self, url: Any, data: Any = None, **kwargs: Any) -> requests.Response:
            """Send a ``PATCH`` request; see :meth:`request`."""

        def delete(self, url: Any, **kwargs: Any) -> requests.Response:
            """Send a ``DELETE`` request; see :meth:`request`."""

    def _perform(self, context: RequestContext, began: float) -> requests.Response:
        """Do what ``requests.Session.request`` does, as one call of ours."""
        kwargs = dict(context.kwargs)
        overrides = take_overrides(kwargs, _REQUEST_NAMES, "request")
        self._refuse_tls(kwargs)
        url = str(context.url)
        call = self._core.begin(url, overrides, began)
        call.explicit = _explicit_names(kwargs)
        home = self._core.home
        if home is not None and home != self._core.origin(url):
            self._leave_at_home(kwargs, call.explicit)
        call.timeout_given = "timeout" in kwargs
        if not call.timeout_given:
            kwargs["timeout"] = self._default_timeout(call, url)
        return self._as_call(call, super().request, context.method, context.url, **kwargs)

    def _leave_at_home(self, kwargs: Dict[str, Any], explicit: Any) -> None:
        """Keep the session's own credentials off a request that goes elsewhere."""
        from .redirects import sensitive_names

        names = [*sensitive_names(self.headers, self._core.configuration), "Authorization"]
        # What is None is taken off: requests' own way to say so.
        off = {name: None for name in names if name.lower() not in explicit}
        kwargs["headers"] = {**off, **dict(kwargs.get("headers") or {})}
        if self.auth is not None and kwargs.get("auth") is None:
            kwargs["auth"] = _no_auth
        params = kwargs.get("params")
        if isinstance(self.params, Mapping) and (params is None or isinstance(params, Mapping)):
            secret = {name: None for name in self.params if is_sensitive_parameter(name)}
            kwargs["params"] = {**secret, **dict(params or {})}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request, as ``requests.Session.send``; settings of a call are taken too.

        Headers that the request holds count as given with the call.
        """
        call: Optional[Call] = current_call.get()
        if call is not None and self._joins(call, request):
            return self._send_hop(call, request, kwargs)
        if not isinstance(request, requests.PreparedRequest):
            return super().send(request, **kwargs)  # says what is wrong with it
        context = RequestContext(request.method or "", request.url or "", **kwargs)
        context.kwargs["headers"] = dict(request.headers)

        def perform(context: RequestContext, began: float) -> requests.Response:
            return self._perform_send(request, context, began)

        return self._run_hooks(context, perform)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request with the session's settings, as ``requests.Session`` does."""
        call = current_call.get()
        if call is None or call.owner is not self or call.preparing or call.members or call.sent:
            return super().prepare_request(request)
        # An auth object that is run now may send requests of its own.
        call.preparing = True
        try:
            prepared = super().prepare_request(request)
        finally:
            call.preparing = False
        call.members.append(prepared)
        return prepared

    def _joins(self, call: Call, request: requests.PreparedRequest) -> bool:
        """Tell whether sending this belongs to the call that is under way."""
        if call.owner is not self or call.preparing:
            return False
        if call.redirecting or any(one is request for one in call.members):
            return True
        # A subclass may hand on a copy of what was prepared for the call.
        return not call.sent and all(_same_target(one, request) for one in call.members)

    def _perform_send(
        self, request: requests.PreparedRequest, context: RequestContext, began: float
    ) -> requests.Response:
        kwargs = dict(context.kwargs)
        headers = kwargs.pop("headers", {})
        overrides = take_overrides(kwargs, _SEND_NAMES, "send")
        self._refuse_tls(kwargs)
        if isinstance(request, RedirectRequest) and origin_of(context.url) != request.first_origin:
            from .redirects import without_added_secrets

            # Hooks run anew, and may not look where the redirect goes.
            configuration = self._core.configuration
            headers = without_added_secrets(request.headers, headers, configuration)
        request = _edited(request, context, headers)
        url = request.url or ""
        call = self._core.begin(url, overrides, began)
        if isinstance(request, RedirectRequest):
            call.first_origin = request.first_origin
        call.explicit = frozenset(name.lower() for name in request.headers)
        if request.__dict__.get("_auth_from_netrc"):
            call.from_netrc = True
            call.explicit -= {"authorization"}
        call.timeout_given = "timeout" in kwargs
        if not call.timeout_given:
            kwargs["timeout"] = self._default_timeout(call, url)
        # Not self.send: a subclass that overrides it has been through it already.
        return self._as_call(call, self._send_hop, call, request, kwargs)

    def _as_call(
        self, call: Call, function: Callable[..., requests.Response], *args: Any, **kwargs: Any
    ) -> requests.Response:
        call.owner = self
        call.crew = current_crew.get()
        token = current_call.set(call)
        try:
            response = function(*args, **kwargs)
            if isinstance(response, requests.Response):
                # Adapters that the user mounted deliver without a history.
                response.__dict__.setdefault("attempts", tuple(call.attempts))
                error: Optional[Exception] = _unsuccessful(self._core, call, response)
                if error is not None:
                    raise error
            return response
        except Exception as exc:
            from .failure import attach_history  # only now, as all that failures need

            attach_history(exc, call)
            raise
        finally:
            current_call.reset(token)
            call.finished = True

    def _send_hop(
        self, call: Call, request: requests.PreparedRequest, kwargs: Dict[str, Any]
    ) -> requests.Response:
        origin = self._core.origin(request.url or "")
        if call.redirecting and origin != call.origin:
            self._strip_sensitive(request)
            # What was stripped no longer stands in the way of the target's own credentials.
            call.explicit = frozenset(name for name in call.explicit if name in request.headers)
        elif not call.sent and request.__dict__.get("_auth_from_netrc"):
            call.from_netrc = True
        call.origin, call.sent, call.redirecting = origin, True, False
        if not any(one is request for one in call.members):
            call.members.append(request)
        response = super().send(request, **kwargs)
        elapsed = response.__dict__.pop("_attempt_elapsed", None)
        if elapsed is not None:
            response.elapsed = timedelta(seconds=elapsed)
        return response

    def _default_timeout(self, call: Call, url: str) -> Any:
        settings, _ = call.settings_for(self._core.policy(call, url))
        return resolve_timeout(settings, call.overrides, UNSET)

    def _refuse_tls(self, kwargs: Mapping[str, Any]) -> None:
        if self._ssl_context is not None:
            check_tls(kwargs.get("verify", True), kwargs.get("cert"), self._ssl_context)

    # -- hooks

    def _run_hooks(
        self,
        context: RequestContext,
        perform: Callable[[RequestContext, float], requests.Response],
    ) -> requests.Response:
        with call_report(self._core, context) as report:
            return report.returned(self._with_hooks(context, perform))

    def _with_hooks(
        self,
        context: RequestContext,
        perform: Callable[[RequestContext, float], requests.Response],
    ) -> requests.Response:
        plugins = self._core.plugins
        began = self._core.clock.monotonic()
        try:
            plugins.execute_pre_request_hooks(context)
            response = perform(context, began)
            if plugins.after_response:
                response = _after(plugins, response, context)
            return response
        except Exception as exc:
            return self._fall_back(exc, context)

    def _fall_back(self, exc: Exception, context: RequestContext) -> requests.Response:
        """Return the fallback of an error hook, or raise the error."""
        errors = ErrorContext(exc, context)
        self._core.plugins.execute_error_hooks(errors)
        if errors.resolved:
            fallback: requests.Response = errors.fallback_response
            return fallback
        from .failure import report_failure

        report_failure(self._core, exc, str(context.method), str(context.url))
        raise exc

    # -- redirects

    def resolve_redirects(
        self,
        resp: requests.Response,
        req: requests.PreparedRequest,
        *args: Any,
        **kwargs: Any,
    ) -> Generator[Any, None, None]:
        """Follow redirects, as ``requests.Session`` does; each is a hop of the same call.

        A hop to another origin loses every header that is sensitive by its name.
        """
        if self.get_redirect_target(resp) is None:
            return
        call = current_call.get()
        mine = call is not None and call.owner is self
        followed = super().resolve_redirects(resp, req, *args, **kwargs)
        while True:
            if mine and call is not None:
                call.redirecting = True
            try:
                item = next(followed)
            except StopIteration:
                return
            finally:
                if mine and call is not None:
                    call.redirecting = False
            if isinstance(item, requests.PreparedRequest):
                if crosses_origin(item, req):
                    self._strip_sensitive(item)
                first = call.first_origin if mine and call is not None else None
                remember_origin(item, first or origin_of(req.url or ""))
            yield item

    def _strip_sensitive(self, request: requests.PreparedRequest) -> None:
        from .redirects import sensitive_names

        for name in sensitive_names(request.headers, self._core.configuration):
            del request.headers[name]

    # -- batch

    def batch_request(
        self,
        requests_data: Iterable[RequestData],
        max_workers: int = 5,
        return_exceptions: bool = True,
    ) -> BatchResults:
        """Send many requests concurrently and return the results in input order.

        :param requests_data: any iterable of ``(method, url, kwargs)``; checked before the first
            is sent.
        :param max_workers: how many are under way at a time.
        :param return_exceptions: ``True``: a failure is an item of the result; ``False``: the first
            one is raised, and what had not started is left out.
        :raises TypeError: for an item of another form, with its index.

        >>> with ConnectionManager() as manager:
        ...     manager.batch_request([])
        []
        """
        from .batch import check_batch, run_batch

        checked = check_batch(requests_data, max_workers)

        def perform(item: Tuple[str, str, Dict[str, Any]]) -> requests.Response:
            method, url, kwargs = item
            return self.request(method, url, **kwargs)

        results: List[Any] = run_batch(perform, checked, max_workers, return_exceptions)
        return results

    def _batch_responses(self) -> Responses:
        from .batch._requests_responses import RequestsResponses

        return RequestsResponses()

    # -- pickling: the configuration travels, the live state does not

    def __getstate__(self) -> Dict[str, Any]:
        if self._ssl_context is not None:
            raise TypeError(
                "a manager with an ssl_context can't be pickled: contexts can't; use verify and "
                "cert, or set the context after unpickling"
            )
        own = {name: one for name, one in self.__dict__.items() if name not in _NOT_PICKLED}
        return {**own, **super().__getstate__(), "_core": self._core.state()}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self._core = Core.from_state(state.pop("_core"), PluginManager())
        self._environment = Environment()
        self._known_headers = (), None
        self._ssl_context = None
        super().__setstate__(state)
        # copy.copy() hands over the original's adapters, which stay with the original.
        self.adapters = OrderedDict(
            (prefix, copy.copy(adapter) if isinstance(adapter, PipelineAdapter) else adapter)
            for prefix, adapter in self.adapters.items()
        )
        self._manage_adapters()
        _alive.add(self)


_NOT_PICKLED = frozenset({"_core", "_environment", "_known_headers", "_ssl_context"})


def _after(
    plugins: PluginManager, response: requests.Response, context: RequestContext
) -> requests.Response:
    after = ResponseContext(response, context)
    try:
        plugins.execute_post_response_hooks(after)
    except BaseException:
        response.close()
        raise
    result: requests.Response = after.response
    return result


def _explicit_names(kwargs: Mapping[str, Any]) -> Any:
    names = set()
    headers = kwargs.get("headers")
    if headers:
        for name in dict(headers):
            names.add((name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower())
    if kwargs.get("auth"):
        names.add("authorization")
    return frozenset(names)


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _same_target(one: requests.PreparedRequest, other: requests.PreparedRequest) -> bool:
    return (one.method, one.url) == (other.method, getattr(other, "url", None))


def _check_timeout_in(pattern: Any, config: Any) -> None:
    if isinstance(config, Mapping):
        check_requests_timeout(config.get("timeout"), f"endpoint {pattern!r}")


def _edited(
    request: requests.PreparedRequest, context: RequestContext, headers: Mapping[str, str]
) -> requests.PreparedRequest:
    """Return the prepared request with what the hooks changed."""
    changed_url = context.url != (request.url or "")
    unchanged = not changed_url and context.method == (request.method or "")
    if unchanged and headers == dict(request.headers):
        return request
    request = request.copy()
    request.method = context.method or None
    if changed_url:
        request.prepare_url(context.url, None)
    request.headers = CaseInsensitiveDict(headers)
    return request


_alive: weakref.WeakSet[ConnectionManager] = weakref.WeakSet()


def _renew_pools() -> None:
    """Leave the sockets to the parent process; two processes can't share a connection."""
    for manager in list(_alive):
        if hasattr(manager.cookies, "_cookies_lock"):
            # Another thread may have held it when the process forked; each response takes it.
            manager.cookies._cookies_lock = threading.RLock()
        for adapter in manager.adapters.values():
            if isinstance(adapter, PipelineAdapter):
                adapter.renew_pools()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_pools)
