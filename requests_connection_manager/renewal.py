"""An httpx client that can change its transports while it is in use.

Holds :class:`RenewableClient`: when the TLS settings change, or another event loop is running, the
transports that httpx built are built anew, and the old ones finish what they do. Transports of
the user's are left alone. Knows nothing of settings, calls and policies.
"""

from __future__ import annotations

import ssl
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import anyio.lowlevel

from .checks import check_tls
from .transport import hx, is_unused, quicken, tls_context

_Builder = Callable[..., hx.AsyncBaseTransport]


class RenewableClient(hx.AsyncClient):
    """An ``httpx.AsyncClient`` that remembers how its transports were built."""

    def _remember_tls(
        self,
        verify: Union[bool, str, ssl.SSLContext],
        cert: Union[str, Tuple[str, str], None],
        ssl_context: Optional[ssl.SSLContext],
    ) -> None:
        """Prepare for httpx's constructor, which builds the first transports."""
        self._tls: Dict[str, Any] = {"verify": verify, "cert": cert, "ssl_context": ssl_context}
        self._builders: Dict[int, _Builder] = {}
        self._retired: List[hx.AsyncBaseTransport] = []
        self._loop: Any = None

    def _tls_context(self, trust_env: bool) -> Any:
        context = self._tls["ssl_context"]
        if context is not None:
            return context
        return tls_context(self._tls["verify"], self._tls["cert"], trust_env)

    def _init_transport(self, **kwargs: Any) -> hx.AsyncBaseTransport:  # type: ignore[override]
        # Reason of the ignore: the keywords are passed through as httpx's own constructor has them.
        build = super()._init_transport
        transport = build(**kwargs)
        if kwargs.get("transport") is not None:
            return transport
        self._builders[id(transport)] = lambda **new: quicken(build(**{**kwargs, **new}))
        return quicken(transport)

    def _init_proxy_transport(  # type: ignore[override]  # as above
        self, proxy: Any, **kwargs: Any
    ) -> hx.AsyncBaseTransport:
        build = super()._init_proxy_transport
        transport = build(proxy, **kwargs)
        self._builders[id(transport)] = lambda **new: quicken(build(proxy, **{**kwargs, **new}))
        return quicken(transport)

    def _renew_transports(self, **changes: Any) -> None:
        """Build those transports anew that httpx built; the old ones finish what they do."""
        old = [self._transport, *self._mounts.values()]
        renewed: Dict[int, hx.AsyncBaseTransport] = {}
        for transport in old:
            builder = self._builders.pop(id(transport), None)
            if builder is not None and transport is not None:
                new = renewed[id(transport)] = builder(**changes)
                # super(): the builder calls httpx's own method, which registers nothing.
                self._builders[id(new)] = _rebuilding(builder, changes)
                self._retired.append(transport)
        self._transport = renewed.get(id(self._transport), self._transport)
        self._mounts = {pattern: renewed.get(id(one), one) for pattern, one in self._mounts.items()}

    async def _close_retired(self, all_of_them: bool = False) -> None:
        for transport in list(self._retired):
            # Another task may have taken it while this one waited for an earlier one.
            if transport in self._retired and (all_of_them or is_unused(transport)):
                self._retired.remove(transport)
                await self._close_one(transport)

    async def _close_one(self, transport: hx.AsyncBaseTransport) -> None:
        try:
            await transport.aclose()
        except Exception:
            raise
        except BaseException:
            self._retired.append(transport)  # cancelled: someone else shall finish it
            raise

    def _follow_event_loop(self) -> None:
        """Leave the connections of a loop that is gone: they can't be used on this one."""
        loop = anyio.lowlevel.current_token()
        if loop != self._loop:
            if self._loop is not None:
                self._renew_transports()
                self._retired.clear()
            self._loop = loop

    def set_ssl_verification(self, verify: Union[bool, str]) -> None:
        """Verify TLS certificates, or not, or against the CA bundle at a path.

        New connections use it; those in use finish as they are.
        """
        check_tls(verify, None, self._tls["ssl_context"])
        self._change_tls(verify=verify)

    def set_client_certificate(self, cert: Union[str, Tuple[str, str]]) -> None:
        """Present a client certificate: a file, or ``(certificate, key)`` files."""
        check_tls(True, cert, self._tls["ssl_context"])
        self._change_tls(cert=cert)

    def set_ssl_context(self, ssl_context: Any) -> None:
        """Use an ``ssl.SSLContext`` as it is for new connections; ``None``: none of your own."""
        check_tls(self._tls["verify"], self._tls["cert"], ssl_context)
        self._change_tls(ssl_context=ssl_context)

    def _change_tls(self, **changes: Any) -> None:
        before = self._tls
        self._tls = {**before, **changes}
        try:
            context = self._tls_context(self._trust_env)
        except BaseException:
            self._tls = before
            raise
        self._renew_transports(verify=context)

    async def renew_if_needed(self) -> None:
        """Follow a change of the event loop, and close what has finished since the last change."""
        self._follow_event_loop()
        if self._retired:
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


def _rebuilding(builder: _Builder, before: Mapping[str, Any]) -> _Builder:
    return lambda **new: builder(**{**before, **new})
