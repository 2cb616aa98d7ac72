"""The connections of aiohttp's that one event loop has.

Holds :class:`ConnectionPool`, which waits, opens and closes; which connection serves which request
is decided by ``books``, as for httpx's own transport. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Iterable, List, Optional

from ..transport import hx
from .aiohttp_connection import Connection
from .aiohttp_opening import Opener, Origin
from .books import PoolBooks

_UNLIMITED = 2**63


class Ticket:
    """A request's claim to a connection, until it gives it back."""

    __slots__ = ("connection", "origin", "turn")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.connection: Any = None
        self.turn: Any = None

    @property
    def request(self) -> Any:
        """What the books ask for its ``url.origin``."""
        return self

    url = request

    def assign_to_connection(self, connection: Connection) -> None:
        """End the waiting."""
        self.connection = connection
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)


class ConnectionPool:
    """Gives connections to requests, within the limits and in the order in which they came.

    :param opener: opens them.
    :param limits: httpx's; ``None`` in them is no limit.
    """

    def __init__(self, opener: Opener, limits: hx.Limits) -> None:
        self._opener = opener
        self._loop = asyncio.get_running_loop()
        self._books = PoolBooks(
            _or_unlimited(limits.max_connections),
            _or_unlimited(limits.max_keepalive_connections),
            partial(Connection, keepalive=limits.keepalive_expiry),
        )

    def claim(self, origin: Origin) -> Ticket:
        """Return a claim, which has its connection already if there is one to be had."""
        ticket = Ticket(origin)
        _close(self._books.enter(ticket))
        return ticket

    async def turn(self, ticket: Ticket, seconds: Optional[float]) -> None:
        """Wait until a claim has its connection; when that fails, the claim is given back.

        :raises httpx.PoolTimeout: the time is over.
        """
        ticket.turn = turn = self._loop.create_future()
        timer = None
        if seconds is not None:
            timer = self._loop.call_later(seconds, _run_out, turn)
        try:
            await turn
        except BaseException:
            self.give_back(ticket)  # with the connection that it may have got at the same moment
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def open(
        self, connection: Connection, seconds: Optional[float], server_name: Optional[str]
    ) -> None:
        """Open a new connection; see :meth:`Opener.open`."""
        await connection.open(self._opener, seconds, server_name)

    def give_back(self, ticket: Ticket) -> None:
        """Let others have the connection of a claim."""
        _close(self._books.leave(ticket))

    def idle_at(self, origin: Origin) -> List[Connection]:
        """Return the idle connections to an origin."""
        return [one for one in self._books.connections if one.origin == origin and one.is_idle()]

    def is_unused(self) -> bool:
        """Tell whether no request has a connection or waits for one."""
        return not self._books.tickets

    async def aclose(self) -> None:
        """Close all connections; who waits for one is told."""
        _close(self._books.clear())
        for ticket in self._books.tickets:
            if ticket.turn is not None and not ticket.turn.done():
                ticket.turn.set_exception(hx.ConnectError("The connections have been closed."))
        await self._opener.close()
        await asyncio.sleep(0)  # the last turn of those that were closed


def _or_unlimited(limit: Optional[int]) -> int:
    return _UNLIMITED if limit is None else limit


def _run_out(turn: Any) -> None:
    if not turn.done():
        turn.set_exception(hx.PoolTimeout(""))


def _close(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.close()


__all__ = ["ConnectionPool", "Ticket"]
