"""httpx clients that can change their transports while they are in use.

Holds :class:`RenewableTransports`, shared, and the two clients made with it: when the TLS settings
change, another event loop is running or the process was forked, the transports that httpx built
are built anew, and the old ones finish what they do. Siblings share their transports. Transports
of the user's are left alone. Knows nothing of settings, calls and policies.
"""

from __future__ import annotations

import ssl
import sys
import threading
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import anyio.lowlevel

from ._forks import renew_after_fork
from .checks import check_tls
from .http_backends import Backend, chosen_backend
from .transport import (
    LIBRARY_ASYNC_CLIENT,
    BaseClient,
    bound,
    hx,
    is_unused,
    quicken,
    tls_context,
)

_Builder = Callable[..., Any]


class _Pools:
    """What siblings share: the transports, how they were built, and whether they are open."""

    def __init__(self, tls: Dict[str, Any]) -> None:
        self.tls = tls
        self.builders: Dict[int, _Builder] = {}
        self.retired: List[Any] = []
        self.backend: Optional[Backend] = None
        self.transport: Any = None
        self.mounts: Any = {}
        self.state: Any = None
        self.loop: Any = None
        self.asyncio_loop: Any = None
        self.forked = False
        self.lock = threading.RLock()
        renew_after_fork(self)

    def renew_lock(self) -> None:
        """Take note, in the child after a fork, that the sockets are the parent's."""
        self.lock = threading.RLock()
        self.forked = True


def _shared(name: str) -> Any:
    """Return a property that stands for an attribute which httpx sets, kept for all siblings."""
    return property(
        lambda self: getattr(self._pools, name),
        lambda self, value: setattr(self._pools, name, value),
    )


class RenewableTransports(BaseClient):
    """A client of httpx's that remembers how its transports were built."""

    _pools: _Pools
    _transport = _shared("transport")
    _mounts = _shared("mounts")
    _state = _shared("state")

    def _remember_tls(
        self,
        verify: Union[bool, str, ssl.SSLContext],
        cert: Union[str, Tuple[str, str], None],
        ssl_context: Optional[ssl.SSLContext],
    ) -> None:
        """Prepare for httpx's constructor, which builds the first transports."""
        self._pools = _Pools({"verify": verify, "cert": cert, "ssl_context": ssl_context})

    def _choose_backend(self, given: Mapping[str, Any]) -> None:
        """Take what the arguments of a constructor say about how transports are built."""
        self._pools.backend = chosen_backend(given, isinstance(self, LIBRARY_ASYNC_CLIENT))

    def _tls_context(self, trust_env: bool) -> Any:
        tls = self._pools.tls
        if tls["ssl_context"] is not None:
            return tls["ssl_context"]
        return tls_context(tls["verify"], tls["cert"], trust_env)

    def _tuned(self, transport: Any) -> Any:
        """Return a transport that httpx built, with what we change in it."""
        raise NotImplementedError

    def _remembered(self, build: _Builder, kwargs: Mapping[str, Any], transport: Any = None) -> Any:
        """Return a transport that httpx builds, and remember how.

        :param transport: the user's own, which stays as it is.
        """
        built = build(**kwargs)
        if transport is not None:
            return built
        self._pools.builders[id(built)] = lambda **new: self._tuned(build(**{**kwargs, **new}))
        return self._tuned(built)

    def _renew_transports(self, **changes: Any) -> None:
        """Build those transports anew that httpx built; the old ones finish what they do."""
        pools = self._pools
        old = [pools.transport, *pools.mounts.values()]
        renewed: Dict[int, Any] = {}
        for transport in old:
            builder = pools.builders.pop(id(transport), None)
            if builder is not None and transport is not None:
                new = renewed[id(transport)] = builder(**changes)
                # super(): the builder calls httpx's own method, which registers nothing.
                pools.builders[id(new)] = _rebuilding(builder, changes)
                pools.retired.append(transport)
        pools.transport = renewed.get(id(pools.transport), pools.transport)
        pools.mounts = {pattern: renewed.get(id(one), one) for pattern, one in pools.mounts.items()}

    def is_current(self) -> bool:
        """Tell whether nothing changed around the client since the last call."""
        return not (self._pools.forked or self._pools.retired)

    async def renew_if_needed(self) -> None:
        """Follow what changed around the client since the last call."""
        raise NotImplementedError

    def _leave_to_parent(self) -> None:
        """Use no connection of the process from which this one was forked."""
        pools = self._pools
        if not pools.forked:
            return
        with pools.lock:
            if not pools.forked:
                return  # another thread was faster
            # Another thread may have held it when the process forked; each response takes it.
            self._cookies.jar._cookies_lock = threading.RLock()  # type: ignore[attr-defined]  # untyped
            self._renew_transports()
            pools.retired.clear()
            # Not before: until then the other threads have to wait.
            pools.forked = False

    def set_ssl_verification(self, verify: Union[bool, str]) -> None:
        """Verify TLS certificates, or not, or against the CA bundle at a path.

        New connections use it; those in use finish as they are.
        """
        check_tls(verify, None, self._pools.tls["ssl_context"])
        self._change_tls(verify=verify)

    def set_client_certificate(self, cert: Union[str, Tuple[str, str]]) -> None:
        """Present a client certificate: a file, or ``(certificate, key)`` files."""
        check_tls(True, cert, self._pools.tls["ssl_context"])
        self._change_tls(cert=cert)

    def set_ssl_context(self, ssl_context: Any) -> None:
        """Use an ``ssl.SSLContext`` as it is for new connections; ``None``: none of your own."""
        check_tls(self._pools.tls["verify"], self._pools.tls["cert"], ssl_context)
        self._change_tls(ssl_context=ssl_context)

    def _change_tls(self, **changes: Any) -> None:
        pools = self._pools
        # Settings and transports change together, or one thread's change would be lost.
        with pools.lock:
            before = pools.tls
            pools.tls = {**before, **changes}
            try:
                context = self._tls_context(self._trust_env)
            except BaseException:
                pools.tls = before
                raise
            self._renew_transports(verify=context)


class RenewableAsyncClient(RenewableTransports, hx.AsyncClient):
    """An ``httpx.AsyncClient`` that can change its transports."""

    # The keywords are passed through as httpx's own constructor has them.
    def _init_transport(self, **kwargs: Any) -> hx.AsyncBaseTransport:  # type: ignore[override]  # see above
        backend = self._pools.backend
        build = super()._init_transport if backend is None else backend.build
        return self._remembered(build, kwargs, kwargs.get("transport"))  # type: ignore[no-any-return]  # whatever was built

    def _init_proxy_transport(  # type: ignore[override]  # see above
        self, proxy: Any, **kwargs: Any
    ) -> hx.AsyncBaseTransport:
        backend = self._pools.backend
        build = super()._init_proxy_transport if backend is None else backend.build_for_proxy
        return self._remembered(partial(build, proxy), kwargs)  # type: ignore[no-any-return]  # as above

    def _tuned(self, transport: Any) -> Any:
        return quicken(transport)

    async def _close_retired(self, all_of_them: bool = False) -> None:
        retired = self._pools.retired
        for transport in list(retired):
            # Another task may have taken it while this one waited for an earlier one.
            if transport in retired and (all_of_them or is_unused(transport)):
                retired.remove(transport)
                await self._close_one(transport)

    async def _close_one(self, transport: hx.AsyncBaseTransport) -> None:
        try:
            await transport.aclose()
        except Exception:
            raise
        except BaseException:
            self._pools.retired.append(transport)  # cancelled: someone else shall finish it
            raise

    def _follow_event_loop(self) -> None:
        """Leave the connections of a loop that is gone: they can't be used on this one."""
        pools = self._pools
        loop = anyio.lowlevel.current_token()
        if loop != pools.loop:
            with pools.lock:
                if pools.loop is not None:
                    self._renew_transports()
                    pools.retired.clear()
                pools.loop = loop
        pools.asyncio_loop = _asyncio_loop()

    def is_current(self) -> bool:
        """Tell whether nothing changed around the client since the last call."""
        # Asked of asyncio itself: by way of anyio it costs 5 µs a call.
        pools, loop = self._pools, _asyncio_loop()
        if loop is None or loop is not pools.asyncio_loop:
            return False
        return not (pools.forked or pools.retired)

    async def renew_if_needed(self) -> None:
        """Follow a change of the event loop, and close what has finished since the last change."""
        self._leave_to_parent()
        self._follow_event_loop()
        if self._pools.retired:
            await self._close_retired()

    async def aclose(self) -> None:
        """Close all connections."""
        self._follow_event_loop()
        await super().aclose()
        await self._close_retired(all_of_them=True)

    async def close(self) -> None:
        """Close all connections; the same as :meth:`aclose`."""
        await self.aclose()

    async def __aexit__(self, *args: Any) -> None:
        await super().__aexit__(*args)
        await self._close_retired(all_of_them=True)


class RenewableClient(RenewableTransports, hx.Client):
    """An ``httpx.Client`` that can change its transports."""

    # The keywords are passed through as httpx's own constructor has them.
    def _init_transport(self, **kwargs: Any) -> hx.BaseTransport:  # type: ignore[override]  # see above
        build = super()._init_transport
        return self._remembered(build, kwargs, kwargs.get("transport"))  # type: ignore[no-any-return]  # whatever httpx built

    def _init_proxy_transport(  # type: ignore[override]  # see above
        self, proxy: Any, **kwargs: Any
    ) -> hx.BaseTransport:
        build = super()._init_proxy_transport
        return self._remembered(partial(build, proxy), kwargs)  # type: ignore[no-any-return]  # as above

    def _tuned(self, transport: Any) -> Any:
        return bound(transport)

    def _close_retired(self, all_of_them: bool = False) -> None:
        retired = self._pools.retired
        for transport in list(retired):
            if all_of_them or is_unused(transport):
                try:
                    retired.remove(transport)
                except ValueError:  # another thread was faster
                    continue
                transport.close()

    async def renew_if_needed(self) -> None:
        """Close what has finished since the last change of the TLS settings."""
        self._leave_to_parent()
        if self._pools.retired:
            self._close_retired()

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._close_retired(all_of_them=True)

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        self._close_retired(all_of_them=True)


def _asyncio_loop() -> Any:
    """Return the loop of the running task of asyncio's; ``None``: nobody runs one here."""
    asyncio = sys.modules.get("asyncio")  # not imported for its own sake
    loop = None if asyncio is None else asyncio._get_running_loop()
    # Where trio runs as the guest of a loop, there is the loop, but no task.
    if asyncio is None or loop is None or asyncio.current_task(loop) is None:
        return None
    return loop


def _rebuilding(builder: _Builder, before: Mapping[str, Any]) -> _Builder:
    return lambda **new: builder(**{**before, **new})
