"""The books of a pool, with connections that are only pretended, in every order of events."""

from __future__ import annotations

from typing import Any, List, Optional

import httpcore
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from requests_connection_manager.connections.books import PoolBooks

HOSTS = ["a", "b", "c"]


class Ticket:
    """Stands for httpcore's request in a pool."""

    def __init__(self, host: str) -> None:
        self.request = httpcore.Request("GET", f"http://{host}.test/")
        self.connection: Any = None
        self.woken = False
        self.entered = True

    def assign_to_connection(self, connection: Any) -> None:
        self.connection = connection
        self.woken = True

    def clear_connection(self) -> None:
        self.connection = None

    def is_queued(self) -> bool:
        return self.connection is None


class Connection:
    """Stands for httpcore's: connecting, HTTP/1.1 or HTTP/2 once it is known, or over."""

    def __init__(self, origin: httpcore.Origin, may_be_http2: bool) -> None:
        self.host = origin.host.decode()
        self.may_be_http2 = may_be_http2
        self.protocol: Optional[str] = None
        self.serving: List[Ticket] = []
        self.over = self.dead = False

    def is_available(self) -> bool:
        if self.over:
            return False
        if self.protocol is None:
            return self.may_be_http2
        return self.protocol == "2" or not self.serving

    def is_idle(self) -> bool:
        return self.over or (self.protocol is not None and not self.serving)

    def is_closed(self) -> bool:
        return self.over

    def has_expired(self) -> bool:
        return self.over or (self.dead and self.is_idle())


class Pool(RuleBasedStateMachine):
    tickets = Bundle("tickets")

    @initialize(size=st.integers(1, 4), keepalive=st.integers(0, 4), http2=st.booleans())
    def build(self, size: int, keepalive: int, http2: bool) -> None:
        self.size, self.keepalive, self.http2 = size, min(size, keepalive), http2
        self.books = PoolBooks(size, self.keepalive, lambda origin: Connection(origin, http2))
        self.order: List[Ticket] = []
        self.closed: List[Connection] = []

    def close(self, closing: List[Any]) -> None:
        for connection in closing:
            assert connection not in self.books.connections
            assert not any(ticket.connection is connection for ticket in self.order)
            connection.over = True
            self.closed.append(connection)

    def waiting(self) -> List[Ticket]:
        return [ticket for ticket in self.order if ticket.connection is None]

    @rule(target=tickets, host=st.sampled_from(HOSTS))
    def enter(self, host: str) -> Ticket:
        ticket = Ticket(host)
        self.order.append(ticket)
        self.close(self.books.enter(ticket))
        return ticket

    @rule(ticket=tickets, protocol=st.sampled_from("12"))
    def start(self, ticket: Ticket, protocol: str) -> None:
        """A request is put on its connection, which may find that it takes no second one."""
        connection = ticket.connection
        if not ticket.entered or connection is None or ticket in connection.serving:
            return
        if connection.protocol is None:
            connection.protocol = protocol if self.http2 else "1"
        if connection.over or not connection.is_available():
            self.order.remove(ticket)
            self.order.insert(0, ticket)
            self.close(self.books.turned_away(ticket))
        else:
            connection.serving.append(ticket)
            self.close(self.books.answered(ticket))

    @rule(ticket=consumes(tickets), breaks=st.booleans())
    def leave(self, ticket: Ticket, breaks: bool) -> None:
        """A request ends: answered, failed, cancelled while it waited, or before it began."""
        connection = ticket.connection
        if connection is not None and ticket in connection.serving:
            connection.serving.remove(ticket)
            connection.over = connection.over or breaks
        ticket.entered = False
        self.order.remove(ticket)
        self.close(self.books.leave(ticket))

    @precondition(lambda self: self.books.connections)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """The server closes a connection."""
        data.draw(st.sampled_from(self.books.connections)).dead = True

    @rule()
    def reconcile(self) -> None:
        """A double has called httpcore's own methods, which look at everything."""
        self.close(self.books.reconcile())

    @invariant()
    def the_limits_hold(self) -> None:
        connections = self.books.connections
        assert len(connections) <= self.size
        idle = [one for one in connections if not self.users_of(one)]
        assert len(idle) <= self.keepalive
        assert len(set(map(id, connections))) == len(connections)

    def users_of(self, connection: Connection) -> List[Ticket]:
        return [ticket for ticket in self.order if ticket.connection is connection]

    @invariant()
    def what_is_held_is_in_the_pool_and_of_the_right_origin(self) -> None:
        for ticket in self.order:
            if ticket.connection is not None:
                assert ticket.connection in self.books.connections
                assert ticket.request.url.host.decode() == ticket.connection.host

    @invariant()
    def without_http2_a_connection_has_one_user(self) -> None:
        for connection in self.books.connections:
            assert self.http2 or len(self.users_of(connection)) <= 1

    @invariant()
    def nobody_waits_who_could_be_served(self) -> None:
        waiting = self.waiting()
        if waiting:
            assert len(self.books.connections) == self.size
            assert all(self.users_of(one) for one in self.books.connections)

    def teardown(self) -> None:
        """Without requests nothing is left but idle connections, and closing leaves none."""
        if not hasattr(self, "books"):
            return
        for ticket in list(self.order):
            self.leave(ticket, breaks=False)
        assert self.books.tickets == []
        assert all(one.is_idle() and not one.over for one in self.books.connections)
        self.close(self.books.clear())
        assert self.books.connections == []


Pool.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestAnyOrderOfEvents = Pool.TestCase


class Bench:
    """Books with a record of who was served in which order."""

    def __init__(self, size: int, keepalive: int = 10, http2: bool = False) -> None:
        self.books = PoolBooks(size, min(size, keepalive), self.make)
        self.http2 = http2
        self.made: List[Connection] = []

    def make(self, origin: Any) -> Connection:
        self.made.append(Connection(origin, self.http2))
        return self.made[-1]

    def enter(self, host: str) -> Ticket:
        ticket = Ticket(host)
        assert self.books.enter(ticket) == []
        return ticket

    def start(self, ticket: Ticket, protocol: str = "1") -> None:
        ticket.connection.protocol = protocol
        ticket.connection.serving.append(ticket)

    def serve(self, host: str) -> Connection:
        ticket = self.enter(host)
        self.start(ticket)
        return self.finish(ticket)

    def finish(self, ticket: Ticket) -> Connection:
        connection: Connection = ticket.connection
        connection.serving.remove(ticket)
        self.books.leave(ticket)
        return connection


def test_whoever_came_first_is_served_first_whatever_the_origin() -> None:
    bench = Bench(size=1)
    first = bench.enter("a")
    bench.start(first)
    waiting = [bench.enter(host) for host in ("b", "a", "a", "b")]
    hosts = []
    for number, ticket in enumerate(waiting, 1):
        bench.finish(first)
        assert [one for one in waiting if one.woken] == waiting[:number]
        hosts.append(ticket.connection.host)
        bench.start(ticket)
        first = ticket
    assert hosts == ["b.test", "a.test", "a.test", "b.test"]


def test_one_that_was_cancelled_as_it_was_served_gives_its_connection_on() -> None:
    bench = Bench(size=1)
    first, second, third = (bench.enter("a") for _ in range(3))
    bench.start(first)
    connection = bench.finish(first)
    assert (second.woken, third.woken) == (True, False)
    assert bench.books.leave(second) == []
    assert third.connection is connection


def test_one_that_was_cancelled_before_it_connected_leaves_no_connection() -> None:
    bench = Bench(size=1)
    first, second = bench.enter("a"), bench.enter("a")
    unopened = first.connection
    assert bench.books.leave(first) == [unopened]
    assert second.connection is not None
    assert bench.books.connections == [second.connection]


def test_the_most_recently_used_is_used_again() -> None:
    bench = Bench(size=3)
    tickets = [bench.enter("a") for _ in range(3)]
    for ticket in tickets:
        bench.start(ticket)
    used = [bench.finish(ticket) for ticket in tickets]
    assert [bench.serve("a") for _ in range(3)] == [used[-1]] * 3


def test_the_least_recently_used_makes_room() -> None:
    bench = Bench(size=2)
    first, second = bench.serve("a"), bench.serve("b")
    assert first is bench.serve("a")
    third = Ticket("c")
    assert bench.books.enter(third) == [second]
    assert first in bench.books.connections


def test_a_dead_one_is_not_used() -> None:
    bench = Bench(size=2)
    dead = bench.serve("a")
    dead.dead = True
    ticket = Ticket("a")
    assert bench.books.enter(ticket) == [dead]
    assert ticket.connection is not dead


@pytest.mark.parametrize("keepalive", [0, 1, 2])
def test_no_more_are_kept_than_allowed(keepalive: int) -> None:
    bench = Bench(size=3, keepalive=keepalive)
    tickets = [bench.enter("a") for _ in range(3)]
    for ticket in tickets:
        bench.start(ticket)
    used = [bench.finish(ticket) for ticket in tickets]
    assert bench.books.connections == used[len(used) - keepalive :]


def test_nothing_is_kept_without_keepalive_even_for_those_who_wait() -> None:
    bench = Bench(size=1, keepalive=0)
    first, second = bench.enter("a"), bench.enter("a")
    bench.start(first)
    used = bench.finish(first)
    assert second.connection is not used


def test_http2_takes_all_on_one_connection() -> None:
    bench = Bench(size=5, http2=True)
    tickets = [bench.enter("a") for _ in range(10)]
    assert len({id(ticket.connection) for ticket in tickets}) == 1
    for ticket in tickets:
        bench.start(ticket, "2")
        assert bench.books.answered(ticket) == []
    assert len(bench.made) == 1


def test_those_who_hoped_for_http2_get_connections_of_their_own() -> None:
    bench = Bench(size=2, http2=True)
    first, second, third = (bench.enter("a") for _ in range(3))
    bench.start(first)
    bench.books.answered(first)
    for ticket in (second, third):
        bench.books.turned_away(ticket)
    assert second.connection is not first.connection
    assert third.connection is not first.connection
    assert len(bench.books.connections) == 2


def test_a_later_one_may_use_a_stream_that_the_first_in_the_queue_can_not() -> None:
    bench = Bench(size=1, http2=True)
    first = bench.enter("a")
    bench.start(first, "2")
    bench.books.answered(first)
    waiting, another = bench.enter("b"), bench.enter("a")
    assert waiting.connection is None
    assert another.connection is first.connection


def test_closing_the_pool_closes_what_is_on_its_way() -> None:
    bench = Bench(size=2)
    ticket = bench.enter("a")
    connection = ticket.connection
    assert bench.books.clear() == [connection]
    assert bench.books.connections == []
    bench.start(ticket)
    connection.serving.remove(ticket)
    assert bench.books.leave(ticket) == [connection]
    assert bench.books.connections == []


def test_one_that_was_turned_away_keeps_its_place_before_those_who_came_later() -> None:
    bench = Bench(size=1, http2=True)
    first, second = bench.enter("a"), bench.enter("a")
    later = bench.enter("b")
    bench.start(first)
    bench.books.answered(first)
    bench.books.turned_away(second)
    bench.finish(first)
    assert (second.woken, later.woken) == (True, False)


def test_those_that_were_turned_away_are_served_in_their_order() -> None:
    bench = Bench(size=1, http2=True)
    first, *others = (bench.enter("a") for _ in range(4))
    bench.start(first)
    bench.books.answered(first)
    for ticket in others:
        bench.books.turned_away(ticket)
    for number, ticket in enumerate(others, 1):
        bench.finish(first)
        assert [one for one in others if one.woken] == others[:number]
        bench.start(ticket)
        first = ticket


def test_one_that_was_turned_away_and_cancelled_is_not_served() -> None:
    bench = Bench(size=1, http2=True)
    first, second, third = (bench.enter("a") for _ in range(3))
    bench.start(first)
    bench.books.answered(first)
    for ticket in (second, third):
        bench.books.turned_away(ticket)
    bench.books.leave(second)
    bench.finish(first)
    assert (second.woken, third.woken) == (False, True)
