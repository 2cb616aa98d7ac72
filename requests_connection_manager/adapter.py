"""The requests adapter that runs the pipeline.

Holds :class:`PipelineAdapter`, which ``ConnectionManager`` mounts on ``http://`` and
``https://``, and the contextvar in which the state of a call travels: requests drops attributes of
prepared requests when it copies them, and ``send`` takes no extra keywords.
"""

from __future__ import annotations

import contextvars
import ssl
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util.retry import Retry as UrllibRetry

from ._lazy_names import lazy_function
from ._originals import still_own
from .call import Call
from .connections.wire import teach
from .origins import NOWHERE
from .settings import UNSET

if TYPE_CHECKING:
    from ._sync import RequestsHop
    from .core import Core

current_call: contextvars.ContextVar[Optional[Call]] = contextvars.ContextVar(
    "requests_connection_manager_call", default=None
)

# The one retry loop is the pipeline's: below it urllib3 tries once and raises what happened.
_ONCE = UrllibRetry(0, read=False)

# Of a file that is sent, so much is read at a time. urllib3's own 16 KiB take half as long again.
_BLOCK_SIZE = 131_072

_requests_connects = still_own(
    requests,
    "adapters.HTTPAdapter.get_connection_with_tls_context",
    "adapters.HTTPAdapter.build_connection_pool_key_attributes",
    "adapters.HTTPAdapter.request_url",
)

# What sending takes is loaded with the first request: 1 ms that importing is sooner over.
_new_hop = lazy_function(__package__, "_sync", "RequestsHop")


class PipelineAdapter(HTTPAdapter):
    """An ``HTTPAdapter`` whose requests go through the pipeline.

    :param core: the manager's core; ``None`` until a manager mounts it.
    :param max_retries: the policy, as a urllib3 ``Retry`` that other code may look at, or replace.
    :param ssl_context: used as it is, for all ``https://`` connections.
    :param wraps: another adapter; each attempt is its ``send``, so its behaviour is kept.

    The other parameters are ``HTTPAdapter``'s. Thread-safe as ``HTTPAdapter`` is. To have both an
    adapter of your own and the pipeline::

        manager.mount("https://api.test", PipelineAdapter(wraps=VendorAdapter()))
    """

    def __init__(
        self,
        pool_connections: int = 10,
        pool_maxsize: int = 10,
        max_retries: Any = 0,
        pool_block: bool = False,
        *,
        core: Optional[Core] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
        wraps: Optional[BaseAdapter] = None,
    ) -> None:
        self.core: Optional[Core] = core
        self.wraps = wraps
        self.ssl_context = ssl_context
        super().__init__(pool_connections, pool_maxsize, max_retries, pool_block)
        self.managed_retry: Optional[UrllibRetry] = self.max_retries

    def manage(self, core: Core) -> None:
        """Belong to a manager: run its pipeline, show its retry policy.

        :raises ValueError: when it belongs to another manager, whose calls would get this one's
            credentials.
        """
        if self.core is not None and self.core is not core:
            raise ValueError(
                "this PipelineAdapter belongs to another manager; make one PipelineAdapter per "
                "manager"
            )
        self.core = core
        if self.max_retries is self.managed_retry:
            self.managed_retry = self.max_retries = core.configuration.default.retry

    # -- pools

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Build the pools; with a context of the user's, they use just that."""
        if self.ssl_context is not None:
            pool_kwargs["ssl_context"] = self.ssl_context
        pool_kwargs.setdefault("blocksize", _BLOCK_SIZE)
        self._known_pools: Dict[Any, Tuple[Any, Any]] = {}
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        teach(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Return the pools for a proxy."""
        if proxy not in self.proxy_manager:
            if self.ssl_context is not None:
                proxy_kwargs.setdefault("ssl_context", self.ssl_context)
            proxy_kwargs.setdefault("blocksize", _BLOCK_SIZE)
            return teach(super().proxy_manager_for(proxy, **proxy_kwargs))
        return super().proxy_manager_for(proxy, **proxy_kwargs)

    def use_ssl_context(self, ssl_context: Optional[ssl.SSLContext]) -> None:
        """Give new connections another context; those in use finish on the old one."""
        self.ssl_context = ssl_context
        self.renew_pools()

    def renew_pools(self) -> None:
        """Start with empty pools; connections in use are closed when they come back."""
        self.proxy_manager = {}
        self.init_poolmanager(self._pool_connections, self._pool_maxsize, self._pool_block)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Set up verification; a context of the user's is left untouched."""
        if self.ssl_context is None:
            super().cert_verify(conn, url, verify, cert)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """Return what a pool is chosen by."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if self.ssl_context is not None and host["scheme"] == "https":
            pool = {"ssl_context": self.ssl_context}
            if not self.ssl_context.check_hostname:
                # urllib3 would check the name itself when the context leaves it out.
                pool["assert_hostname"] = False
        return host, pool

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,
        cert: Any = None,
    ) -> Any:
        """Return the pool for a request; where no proxy is in play, from memory.

        requests takes the URL apart three times, and urllib3 builds a key of 27 fields, to come
        to the same pool as for the request before: a twentieth of the time of a small GET.
        """
        url = request.url or ""
        end = url.find("/", 8)
        own = type(self) is PipelineAdapter and _requests_connects()
        if proxies or end < 0 or not own:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        pools = self.poolmanager.pools
        key = (url[:end], verify, cert, self.ssl_context)
        known = self._known_pools.get(key)
        # get() also tells the pool manager that this pool is in use, so that it is kept.
        if known is not None and pools.get(known[0]) is known[1]:
            return known[1]
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if len(self._known_pools) > self._pool_connections:
            self._known_pools.clear()
        for pool_key in pools.keys():  # noqa: SIM118  # this container refuses to be iterated
            if pools.get(pool_key) is pool and "@" not in key[0]:
                self._known_pools[key] = pool_key, pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return what goes into the request line."""
        path = request.path_url
        if proxies or path[:2] == "//" or not _requests_connects():
            return super().request_url(request, proxies)
        return path

    # -- pickling, as HTTPAdapter does it

    def __getstate__(self) -> Dict[str, Any]:
        state = dict(super().__getstate__())
        state["wraps"] = self.wraps
        state["_managed"] = self.max_retries is self.managed_retry
        return state

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.core = self.ssl_context = None
        self.wraps = state.pop("wraps", None)
        managed = state.pop("_managed", True)
        super().__setstate__(state)
        self.managed_retry = self.max_retries if managed else None

    # -- sending

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send one hop through the pipeline.

        :raises requests.RequestException: requests' own errors, and ours, which are also those.
        """
        core = self.core
        kwargs: Dict[str, Any]
        kwargs = {"stream": stream, "verify": verify, "cert": cert, "proxies": proxies}
        if core is None:
            if self.wraps is not None:
                return self.send_once(request, timeout=timeout, **kwargs)
            return super().send(request, timeout=timeout, **kwargs)
        call = current_call.get()
        theirs: Any = getattr(call.owner, "core", None) if call is not None else None
        if call is None or theirs is None or theirs.root is not core:
            call = self._adopt(core, request)
        if not call.timeout_given:
            timeout = UNSET
        hop: RequestsHop = _new_hop(core, self, call, request, timeout, kwargs)
        response = hop.run()
        return self._answer(hop, response) if hop.auth_hooks else response

    def _adopt(self, core: Core, request: requests.PreparedRequest) -> Call:
        """Begin a call for a session that is no manager."""
        call = core.begin(request.url or "", {}, core.clock.monotonic())
        call.owner = self
        # Which request of that session began it, and which is a redirect, nobody can tell here.
        call.first_origin = NOWHERE
        return call

    def _answer(self, hop: RequestsHop, response: requests.Response) -> requests.Response:
        token = current_call.set(hop.call)
        try:
            return hop.answer(response)
        finally:
            current_call.reset(token)

    def send_once(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send exactly once, without the pipeline."""
        if self.wraps is not None:
            response = self.wraps.send(request, **kwargs)
        else:
            # Looked up on the class at call time: test doubles patch HTTPAdapter.send there, some
            # with a mock that binds no instance.
            response = super(PipelineAdapter, self._inner()).send(request, **kwargs)
        if getattr(response, "connection", None) is not None:
            # Digest authentication re-sends through it, which is a hop of its own.
            response.connection = self
        return response

    def _inner(self) -> PipelineAdapter:
        """Return an adapter that shares everything with this one and never retries.

        ``copy.copy`` would go through ``__setstate__``, which builds new pools.
        """
        inner: PipelineAdapter = self.__class__.__new__(self.__class__)
        inner.__dict__.update(self.__dict__)
        inner.max_retries = _ONCE
        return inner

    def close(self) -> None:
        """Close all connections that are not in use."""
        super().close()
        if self.wraps is not None:
            self.wraps.close()
