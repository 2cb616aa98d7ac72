"""``Client``: a client of one API, an ``httpx.Client`` with all that a manager adds.

Holds the public methods of the synchronous client with their types; what they do is in ``_calls``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Type, TypeVar, Union, overload

from .._sync import run_sync
from ..httpx_client import PipelineClient
from ..plugins import PluginManager
from ..transport import LIBRARY_CLIENT, hx, is_replaced
from ._calls import RestCalls

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import ClientOptions, RequestOptions, SiblingOptions

M = TypeVar("M")
C = TypeVar("C", bound="Client")


class Client(RestCalls, PipelineClient):
    """A client of one API, on ``httpx.Client``.

    Errors for 4xx and 5xx, retries, the server's rate limits, a circuit breaker, deadlines and
    hooks are on by default; everything that works with an ``httpx.Client`` works with it. Its
    configuration is immutable, so threads can share it; :meth:`with_options` returns a sibling.
    Credentials, default parameters and secret headers go to the origin of ``base_url`` only.

    :param base_url: an absolute URL, to which paths are appended.
    :param options: those of :class:`~requests_connection_manager.rest.options.ClientOptions`: the
        parameters of ``AsyncConnectionManager`` (with ``raise_for_status``,
        ``follow_redirects`` and ``follow_server_limits`` on, no limiter of its own, and
        ``rate_limit_mode="wait"``) and these:
        ``user_agent`` (put before ours), ``versioning``, ``api_version`` and ``api_versions`` (see
        :mod:`~requests_connection_manager.rest.versions`), ``serializer`` (what makes a body of
        ``json=``; default: orjson if it is installed, else :mod:`json`).
    :raises TypeError: for a value of the wrong type, or an unknown option, naming the nearest.
    :raises ValueError: for a value out of range or contradictory options, naming them.

    Thread-safe.

    >>> with Client("https://api.example.com/v1", bearer_token="abc") as client:
    ...     str(client.build_request("GET", "/users").url)
    'https://api.example.com/v1/users'
    """

    _asynchronous = False

    def __init__(self, base_url: Union[str, hx.URL], **options: Unpack[ClientOptions]) -> None:
        plugins = PluginManager()
        self._set_up(base_url, dict(options), plugins)

    @classmethod
    def from_env(cls: Type[C], prefix: str, **options: Any) -> C:
        """Return a client that is configured by environment variables.

        :param prefix: for ``"ACME"``: ``ACME_BASE_URL``, ``ACME_API_KEY``, ``ACME_BEARER_TOKEN``
            and so on; see :func:`~requests_connection_manager.rest.from_env.settings_from_env`.
        :param options: the constructor's; they go before the environment.
        :raises ValueError: for a variable that is missing, can't be understood or contradicts
            another, naming it.
        """
        from .from_env import settings_from_env

        return cls(**settings_from_env(prefix, given=options))

    def with_options(  # type: ignore[override]  # names what it takes
        self: C, **options: Unpack[SiblingOptions]
    ) -> C:
        """Return a sibling that differs in some options and shares everything that is alive.

        The two share connections, cookies, hooks, listeners, breakers and limiters; a sibling with
        credentials of its own begins without cookies. Closing either closes the connections.

        :param options: those of
            :class:`~requests_connection_manager.rest.options.SiblingOptions`; ``headers`` and
            ``params`` are added to those that there are.
        :raises TypeError: for a value of the wrong type, or an option that can't differ.
        :raises ValueError: for a value out of range.

        >>> client = Client("https://api.example.com")
        >>> patient = client.with_options(max_retries=8, headers={"X-Team": "batch"})
        >>> patient.headers["X-Team"], "X-Team" in client.headers
        ('batch', False)
        """
        return self._with_options(dict(options))

    # -- one call

    @overload  # type: ignore[override]  # takes more than httpx, and returns what model says
    def request(
        self,
        method: str,
        url: Union[hx.URL, str],
        *,
        model: Type[M],
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> M: ...

    @overload
    def request(
        self,
        method: str,
        url: Union[hx.URL, str],
        *,
        model: Any,
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def request(
        self,
        method: str,
        url: Union[hx.URL, str],
        *,
        response_key: str,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def request(
        self, method: str, url: Union[hx.URL, str], **options: Unpack[RequestOptions]
    ) -> hx.Response: ...

    def request(self, method: str, url: Union[hx.URL, str], **options: Any) -> Any:
        """Send a request and return its response, or a value made of it.

        :param url: a path below the base URL, or an absolute URL.
        :param model: validate the data of the response against it and return it: a pydantic model,
            a dataclass, a ``TypedDict``, ``List[…]`` or any other type (extra ``pydantic``), or a
            ``msgspec.Struct`` (extra ``msgspec``).
        :param response_key: return, or validate, what the response has under this key.
        :param options: those of
            :class:`~requests_connection_manager.rest.options.RequestOptions`: the parameters of
            ``httpx.Client.request``, the settings of a call such as ``max_retries=0``,
            ``total_timeout=5`` or ``ok_statuses={404}``, ``api_key``, ``bearer_token``,
            ``basic_auth``, ``api_version`` and ``upload_progress``. ``auth=None`` sends no
            credentials; cookies and default parameters stay.
        :returns: an ``httpx.Response`` whose ``attempts`` has the history; with ``model`` an
            instance of that, with ``response_key`` alone the parsed value.
        :raises HTTPError: the server answered 4xx or 5xx; with ``status_code``, ``headers``,
            ``body``, ``detail``, ``request_id`` and ``retry_after``. ``AuthenticationError`` for
            401 and 403, ``TooManyRequests`` for 429.
        :raises ConnectionError: no connection, or one that broke; see ``MaxRetriesExceeded``.
        :raises TimeoutError: something took too long; ``DeadlineExceeded`` for ``total_timeout``.
        :raises MaxRetriesExceeded: also one of the above, after retries.
        :raises CircuitBreakerOpen: the circuit is open; nothing was sent.
        :raises ValidationError: the request can't be serialized, or the response is not of the
            promised form.
        :raises TypeError: for an argument of the wrong type, or one that is not known.
        :raises ValueError: for an argument out of range.
        """
        if is_replaced(LIBRARY_CLIENT, "request"):
            return super().request(method, url, **options)
        return run_sync(self._fetch(method, url, options))

    @overload  # type: ignore[override]  # takes more than httpx, and returns what model says
    def get(
        self,
        url: Union[hx.URL, str],
        *,
        model: Type[M],
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> M: ...

    @overload
    def get(
        self,
        url: Union[hx.URL, str],
        *,
        model: Any,
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def get(
        self,
        url: Union[hx.URL, str],
        *,
        response_key: str,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def get(self, url: Union[hx.URL, str], **options: Unpack[RequestOptions]) -> hx.Response: ...

    def get(self, url: Union[hx.URL, str], **options: Any) -> Any:
        """Send a ``GET`` request; see :meth:`request`."""
        return self._verb("get", url, options)

    @overload  # type: ignore[override]  # takes more than httpx, and returns what model says
    def post(
        self,
        url: Union[hx.URL, str],
        *,
        model: Type[M],
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> M: ...

    @overload
    def post(
        self,
        url: Union[hx.URL, str],
        *,
        model: Any,
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def post(
        self,
        url: Union[hx.URL, str],
        *,
        response_key: str,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def post(self, url: Union[hx.URL, str], **options: Unpack[RequestOptions]) -> hx.Response: ...

    def post(self, url: Union[hx.URL, str], **options: Any) -> Any:
        """Send a ``POST`` request; see :meth:`request`."""
        return self._verb("post", url, options)

    @overload  # type: ignore[override]  # takes more than httpx, and returns what model says
    def put(
        self,
        url: Union[hx.URL, str],
        *,
        model: Type[M],
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> M: ...

    @overload
    def put(
        self,
        url: Union[hx.URL, str],
        *,
        model: Any,
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def put(
        self,
        url: Union[hx.URL, str],
        *,
        response_key: str,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def put(self, url: Union[hx.URL, str], **options: Unpack[RequestOptions]) -> hx.Response: ...

    def put(self, url: Union[hx.URL, str], **options: Any) -> Any:
        """Send a ``PUT`` request; see :meth:`request`."""
        return self._verb("put", url, options)

    @overload  # type: ignore[override]  # takes more than httpx, and returns what model says
    def patch(
        self,
        url: Union[hx.URL, str],
        *,
        model: Type[M],
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> M: ...

    @overload
    def patch(
        self,
        url: Union[hx.URL, str],
        *,
        model: Any,
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def patch(
        self,
        url: Union[hx.URL, str],
        *,
        response_key: str,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def patch(self, url: Union[hx.URL, str], **options: Unpack[RequestOptions]) -> hx.Response: ...

    def patch(self, url: Union[hx.URL, str], **options: Any) -> Any:
        """Send a ``PATCH`` request; see :meth:`request`."""
        return self._verb("patch", url, options)

    @overload  # type: ignore[override]  # takes more than httpx, and returns what model says
    def delete(
        self,
        url: Union[hx.URL, str],
        *,
        model: Type[M],
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> M: ...

    @overload
    def delete(
        self,
        url: Union[hx.URL, str],
        *,
        model: Any,
        response_key: Optional[str] = ...,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def delete(
        self,
        url: Union[hx.URL, str],
        *,
        response_key: str,
        **options: Unpack[RequestOptions],
    ) -> Any: ...

    @overload
    def delete(self, url: Union[hx.URL, str], **options: Unpack[RequestOptions]) -> hx.Response: ...

    def delete(self, url: Union[hx.URL, str], **options: Any) -> Any:
        """Send a ``DELETE`` request; see :meth:`request`."""
        return self._verb("delete", url, options)

    def head(  # type: ignore[override]  # takes more than httpx
        self, url: Union[hx.URL, str], **options: Unpack[RequestOptions]
    ) -> hx.Response:
        """Send a ``HEAD`` request; see :meth:`request`."""
        response: hx.Response = self._verb("head", url, options)
        return response

    def options(  # type: ignore[override]  # takes more than httpx
        self, url: Union[hx.URL, str], **options: Unpack[RequestOptions]
    ) -> hx.Response:
        """Send an ``OPTIONS`` request; see :meth:`request`."""
        response: hx.Response = self._verb("options", url, options)
        return response


__all__ = ["Client"]
