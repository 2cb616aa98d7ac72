"""Which connection of a pool serves which request.

Holds :class:`PoolBooks`: the connections of a pool, who uses them, which are idle and who waits for
one. Each step costs the same however many connections there are; httpcore 1.0 walks through all of
them at every start and end of a request. Decides only: waits for nothing, opens and closes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable, Dict, List, Optional, Tuple

Key = Tuple[bytes, bytes, int]


def key_of(origin: Any) -> Key:
    """Return what stands for an origin in a dictionary; httpcore's own can't."""
    return (origin.scheme, origin.host, origin.port)


class Record:
    """What is known of a connection.

    :ivar users: how many requests were given to it and have not ended.
    :ivar shared: it takes further requests while it serves one, as HTTP/2 does. Of a connection
        that may become one of HTTP/2 this is assumed until its protocol is known.
    :ivar listed: it is in the pool, and counts.
    """

    __slots__ = ("connection", "key", "listed", "shared", "users")

    def __init__(self, connection: Any, key: Key) -> None:
        self.connection = connection
        self.key = key
        self.users = 0
        self.listed = True
        # Not connected yet: httpcore's own answer to whether HTTP/2 may come of it.
        self.shared = bool(connection.is_available())


class PoolBooks:
    """The books of one pool; not safe between threads, as httpcore's asynchronous pool.

    Requests are httpcore's ``AsyncPoolRequest``, here called tickets. Whoever changes something
    gets back the connections that have to be closed: they are no longer in the pool.

    A ticket waits only while nothing is idle and the pool is full, so that whatever gets free can
    serve the first in the queue: first come, first served. Only a stream of a shared connection can
    be of use to a later one and not to the first; it takes nothing away from it. A ticket that was
    turned away had its turn: it waits before all others, after those that were turned away earlier.

    :param create: makes a connection to an origin, not opened yet.
    """

    def __init__(
        self, max_connections: int, max_keepalive: int, create: Callable[[Any], Any]
    ) -> None:
        self._max_connections = max_connections
        self._max_keepalive = max_keepalive
        self._create = create
        self.connections: List[Any] = []
        self.tickets: List[Any] = []
        self._waiting: OrderedDict[Any, None] = OrderedDict()
        self._turned_away: OrderedDict[Any, None] = OrderedDict()
        self._held: Dict[Any, Record] = {}
        # Both have the least recently used first.
        self._idle: OrderedDict[Record, None] = OrderedDict()
        self._idle_at: Dict[Key, OrderedDict[Record, None]] = {}
        self._shared_at: Dict[Key, List[Record]] = {}
        self._closing: List[Any] = []

    # -- what happens to a request

    def enter(self, ticket: Any) -> List[Any]:
        """Give a new request its connection, or let it wait."""
        self.tickets.append(ticket)
        if not self._serve(ticket):
            self._waiting[ticket] = None
        self._drop_expired()
        return self._to_close()

    def leave(self, ticket: Any) -> List[Any]:
        """Give back what a request held, and serve those who wait."""
        self.tickets.remove(ticket)
        self._wait_no_more(ticket)
        self._vacate(ticket)
        self._serve_waiting()
        return self._to_close()

    def turned_away(self, ticket: Any) -> List[Any]:
        """Give a request another connection: it was not the first on one that takes only one."""
        ticket.clear_connection()
        record = self._held.get(ticket)
        if record is not None and record.shared:
            self._unshare(record)
        self._vacate(ticket)
        if not self._serve(ticket):
            self._turned_away[ticket] = None
        self._serve_waiting()
        return self._to_close()

    def answered(self, ticket: Any) -> List[Any]:
        """Take note of what a connection can do, once its protocol is known."""
        record = self._held.get(ticket)
        if record is None or record.shared == record.connection.is_available():
            return []
        if record.shared:
            self._unshare(record)
            return []
        self._share(record)
        self._serve_waiting()
        return self._to_close()

    def reconcile(self) -> List[Any]:
        """Follow what httpcore's own methods have changed in the list of tickets."""
        present = set(self.tickets)
        for ticket in [one for one in self._queue() if one not in present]:
            self._wait_no_more(ticket)
        for ticket in list(self._held):
            if ticket not in present or ticket.is_queued():
                self._vacate(ticket)
        for ticket in self.tickets:
            if ticket.is_queued() and ticket not in self._turned_away:
                self._waiting.setdefault(ticket, None)
        self._drop_expired()
        self._serve_waiting()
        return self._to_close()

    def clear(self) -> List[Any]:
        """Forget all connections; they are to be closed."""
        self._closing.extend(self.connections)
        for record in self._held.values():
            record.listed = False
        for books in (self._idle, self._idle_at, self._shared_at):
            books.clear()
        self.connections.clear()
        return self._to_close()

    # -- giving out

    def _serve(self, ticket: Any) -> bool:
        origin = ticket.request.url.origin
        key = key_of(origin)
        record = self._shared(key) or self._most_recently_used(key)
        if record is None:
            if len(self.connections) >= self._max_connections:
                if not self._idle:
                    return False
                self._remove(next(iter(self._idle)))
            record = self._open(origin, key)
        elif not record.users:
            self._rouse(record)
        record.users += 1
        self._held[ticket] = record
        ticket.connection = record.connection
        return True

    def _serve_waiting(self) -> None:
        for queue in (self._turned_away, self._waiting):
            while queue:
                first = next(iter(queue))
                if not self._serve(first):
                    break
                self._admit(first)
        if self._shared_at:
            for ticket in self._queue():
                if self._shared(key_of(ticket.request.url.origin)) and self._serve(ticket):
                    self._admit(ticket)

    def _admit(self, ticket: Any) -> None:
        self._wait_no_more(ticket)
        ticket.assign_to_connection(ticket.connection)  # wakes it up

    def _queue(self) -> List[Any]:
        return [*self._turned_away, *self._waiting]

    def _wait_no_more(self, ticket: Any) -> None:
        self._turned_away.pop(ticket, None)
        self._waiting.pop(ticket, None)

    def _shared(self, key: Key) -> Optional[Record]:
        for record in list(self._shared_at.get(key, ())):
            if not record.users and record.connection.has_expired():
                self._remove(record)
            elif record.connection.is_available():
                return record
            else:
                self._unshare(record)
        return None

    def _most_recently_used(self, key: Key) -> Optional[Record]:
        while key in self._idle_at:
            record = next(reversed(self._idle_at[key]))
            connection = record.connection
            if connection.is_available() and not connection.has_expired():
                return record
            self._remove(record)
        return None

    def _open(self, origin: Any, key: Key) -> Record:
        record = Record(self._create(origin), key)
        self.connections.append(record.connection)
        if record.shared:
            self._share(record)
        return record

    # -- taking back

    def _vacate(self, ticket: Any) -> None:
        record = self._held.pop(ticket, None)
        if record is None:
            return
        record.users -= 1
        if record.users:
            return  # also where it is closed: each of them may open it again
        connection = record.connection
        if not record.listed:  # the pool was closed while the request was under way
            self._closing.append(connection)
        elif connection.is_idle() and not connection.is_closed():
            self._rest(record)
        else:  # closed, never opened, or given up on the way: nobody else would close it
            self._remove(record)

    def _rest(self, record: Record) -> None:
        self._idle[record] = None
        self._idle_at.setdefault(record.key, OrderedDict())[record] = None
        while len(self._idle) > self._max_keepalive:
            self._remove(next(iter(self._idle)))

    def _rouse(self, record: Record) -> None:
        if record in self._idle:
            del self._idle[record]
            here = self._idle_at[record.key]
            del here[record]
            if not here:
                del self._idle_at[record.key]

    def _share(self, record: Record) -> None:
        record.shared = True
        self._shared_at.setdefault(record.key, []).append(record)

    def _unshare(self, record: Record) -> None:
        record.shared = False
        here = self._shared_at.get(record.key, [])
        if record in here:
            here.remove(record)
        if not here:
            self._shared_at.pop(record.key, None)

    def _drop_expired(self) -> None:
        # The least recently used ends first. One that the server closed may be found later: before
        # it is used, or as the oldest.
        while self._idle:
            oldest = next(iter(self._idle))
            if not (oldest.connection.is_closed() or oldest.connection.has_expired()):
                return
            self._remove(oldest)

    def _remove(self, record: Record) -> None:
        self._rouse(record)
        if record.shared:
            self._unshare(record)
        record.listed = False
        self.connections.remove(record.connection)
        if not record.connection.is_closed():
            self._closing.append(record.connection)

    def _to_close(self) -> List[Any]:
        closing, self._closing = self._closing, []
        return closing


__all__ = ["Key", "PoolBooks", "Record", "key_of"]
