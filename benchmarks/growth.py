"""Growth: many endpoint patterns, many origins, many scopes, many threads.

CPU time of this process, but for the threads, which are about waiting for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import threading
import time
import tracemalloc
from typing import Any, Callable, Dict, Iterator, List, Sequence

import httpx
import requests
from requests.adapters import HTTPAdapter

from benchmarks.measure import (
    Figure,
    Scale,
    Turn,
    compare,
    process_time_of,
    take_turns,
    wall_time_of,
)
from benchmarks.server import serving
from benchmarks.subjects import (
    answered,
    canned_manager,
    canned_session,
    full_async_manager,
    full_manager,
)

_NO_NETWORK = "http://127.0.0.1:1"
_THREADS = 32
_SENDING = 8

_KINDS = 5

_Patterns = Callable[[int], List[Any]]


# -- patterns


def _hosts(count: int) -> List[str]:
    return [f"http://host-{number}.test/v1/*" for number in range(count)]


def _wildcards(count: int) -> List[str]:
    return [f"*.zone-{number}.test" for number in range(count)]


def _paths(count: int) -> List[str]:
    return [f"{_NO_NETWORK}/v1/resource-{number}" for number in range(count)]


def _any_host(count: int) -> List[str]:
    return [f"/v2/*/resource-{number}" for number in range(count)]


def _mixed(count: int) -> List[str]:
    kinds: Sequence[Callable[[int], str]] = (
        "host-{}.test".format,
        "*.zone-{}.test".format,
        "http://127.0.0.1/v1/resource-{}".format,
        "https://host.test:{}/v1".format,
        "/v2/*/resource-{}".format,
    )
    return [kinds[number % len(kinds)](number % 65_000 + 1) for number in range(count)]


def _regexes(count: int) -> List[Any]:
    return [re.compile(rf"https://host-{number}\.test/") for number in range(count)]


_LAYOUTS: Dict[str, _Patterns] = {
    "of other hosts": _hosts,
    "with wildcards": _wildcards,
    "of one host": _paths,
    "of any host": _any_host,
}


def endpoints(scale: Scale) -> Iterator[Figure]:
    """Compare 10,000 endpoint patterns to one: the whole call, each to a URL not seen before."""
    count = 10_000 if scale.full else 1_000
    for text, patterns in _LAYOUTS.items():
        name = f"{count:,} endpoint patterns {text}"
        yield compare(name, _beside(scale, patterns, count, 1), 1.1, beside="one")
    pairs = _beside(scale, _mixed, count, _KINDS)
    yield compare(f"{count:,} endpoint patterns of all kinds", pairs, 1.1, beside="one of each")
    # Nothing tells in advance which of them matches: they are tried one by one.
    pairs = _beside(scale, _regexes, 100, 1)
    yield compare("100 regular expressions as endpoint patterns", pairs, None, beside="one")
    pairs = _beside_async(scale, _mixed, count, _KINDS)
    name = f"{count:,} endpoint patterns of all kinds, async"
    yield compare(name, pairs, 1.1, beside="one of each")


def _beside(scale: Scale, patterns: _Patterns, count: int, few: int) -> Any:
    with _patterned(patterns(count)) as many, _patterned(patterns(few)) as one:
        return take_turns(
            process_time_of(_fresh_urls(many), scale.calls),
            process_time_of(_fresh_urls(one), scale.calls),
            scale.rounds,
        )


def _patterned(patterns: List[Any]) -> Any:
    return canned_manager(_NO_NETWORK, **_configured(patterns))


def _configured(patterns: List[Any]) -> Any:
    return {"endpoint_configs": {pattern: {"timeout": 20} for pattern in patterns}}


# Of all turns together: what parses URLs may remember those of the other subject.
_numbers = itertools.count()


def _fresh_urls(manager: Any) -> Callable[[], Any]:
    return lambda: manager.get(f"{_NO_NETWORK}/v1/resource-0/{next(_numbers)}")


def _beside_async(scale: Scale, patterns: _Patterns, count: int, few: int) -> Any:
    def canned(patterns: List[Any]) -> Any:
        transport = httpx.MockTransport(lambda request: httpx.Response(200))
        return full_async_manager(_NO_NETWORK, transport=transport, **_configured(patterns))

    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        many, one = canned(patterns(count)), canned(patterns(few))

        def getting(manager: Any) -> Callable[[], object]:
            get = _fresh_urls(manager)

            async def all_of_them() -> None:
                for _ in range(scale.calls):
                    await get()

            return lambda: loop.run_until_complete(all_of_them())

        turns = process_time_of(getting(many), 1), process_time_of(getting(one), 1)
        pairs = take_turns(*turns, scale.rounds)
        for manager in (many, one):
            loop.run_until_complete(manager.aclose())
    return [(ours / scale.calls, bare / scale.calls) for ours, bare in pairs]


# -- origins


def origins(scale: Scale) -> Iterator[Figure]:
    """Compare 10,000 origins in turn to one, with room for them and without; and what they take."""
    count = 10_000 if scale.full else 500
    for text, room, target in (
        ("with room for all", count, 1.1),
        ("with room for a tenth", 0.1, None),
    ):
        max_scopes = count if room == count else count // 10
        with canned_manager(_NO_NETWORK, max_scopes=max_scopes) as many, _one() as one:
            get = _in_turn(many, count)
            for _ in range(count):
                get()
            pairs = take_turns(
                process_time_of(get, scale.calls),
                process_time_of(_in_turn(one, 1), scale.calls),
                scale.rounds,
            )
        yield compare(f"{count:,} origins in turn, {text}", pairs, target, beside="one")
    yield Figure(f"memory of {count:,} origins", _memory(count), None, None, count / 125, "MiB")


def _one() -> Any:
    return canned_manager(_NO_NETWORK)


def _in_turn(manager: Any, count: int) -> Callable[[], object]:
    urls = itertools.cycle([f"http://host-{number}.test/v1" for number in range(count)])
    return lambda: manager.get(next(urls))


def _memory(count: int) -> float:
    with canned_manager(_NO_NETWORK, max_scopes=count) as manager:
        manager.get("http://first.test/v1")
        get = _in_turn(manager, count)
        tracemalloc.start()
        try:
            for _ in range(count):
                get()
            return tracemalloc.get_traced_memory()[0] / 1024 / 1024
        finally:
            tracemalloc.stop()


def statistics(scale: Scale) -> Iterator[Figure]:
    """Measure get_stats() with 1,000 scopes, alone and while eight threads send."""
    with canned_manager(_NO_NETWORK) as manager:
        get = _in_turn(manager, 1_000)
        for _ in range(1_000):
            get()
        # Nothing to compare it to: the second of the two is the clock itself.
        turns = wall_time_of(manager.get_stats), wall_time_of(lambda: None)
        alone = [ours * 1e3 for ours, _ in take_turns(*turns, scale.rounds)]
        yield Figure("get_stats() with 1,000 scopes", _median(alone), None, None, 20, "ms")
        pairs = take_turns(
            _gets_beside(manager, scale.calls, manager.get_stats),
            _gets_beside(manager, scale.calls, lambda: time.sleep(0.01)),
            scale.rounds,
        )
        yield compare(f"GET by {_SENDING} threads beside get_stats()", pairs, None, beside="none")


def _median(values: List[float]) -> float:
    return sorted(values)[len(values) // 2]


def _gets_beside(manager: Any, calls: int, what: Callable[[], object]) -> Turn:
    """Return a turn: µs for each call by threads, one of which does something else all the time."""

    def turn() -> float:
        over = threading.Event()

        def repeat() -> None:
            while not over.is_set():
                what()
                time.sleep(0.01)

        other = threading.Thread(target=repeat)
        other.start()
        try:
            return crowd([lambda: manager.get("http://host-0.test/v1")] * _SENDING, calls)()
        finally:
            over.set()
            other.join()

    return turn


# -- threads


def threads(scale: Scale) -> Iterator[Figure]:
    """Compare 32 threads on one manager to 32 threads on bare sessions."""
    calls = max(1, scale.calls // 4)
    rounds = max(1, scale.rounds // 2)  # a turn is 32 times as many calls
    with serving() as origin:
        url = f"{origin}/json"
        with full_manager(origin, pool_maxsize=_THREADS) as manager, _sessions() as bare:
            ours = [lambda: answered(manager.get(url))] * _THREADS
            own = [lambda session=one: answered(session.get(url)) for one in bare]
            pairs = take_turns(crowd(ours, calls), crowd(own, calls), rounds)
            beside = f"{_THREADS} sessions"
            yield compare(f"GET by {_THREADS} threads", pairs, 1.05, beside=beside)
            shared = [lambda: answered(bare[0].get(url))] * _THREADS
            pairs = take_turns(crowd(ours, calls), crowd(shared, calls), rounds)
            yield compare(f"GET by {_THREADS} threads, shared", pairs, 1.05, beside="one session")
    with canned_manager(_NO_NETWORK) as manager, canned_session() as session:
        ours = [lambda: manager.get(f"{_NO_NETWORK}/json")] * _THREADS
        plain = [lambda: session.get(f"{_NO_NETWORK}/json")] * _THREADS
        pairs = take_turns(crowd(ours, scale.calls), crowd(plain, scale.calls), rounds)
        yield compare(
            f"GET by {_THREADS} threads, answered from memory", pairs, 1.05, beside="one session"
        )
        turns = crowd(ours, scale.calls), process_time_of(ours[0], scale.calls * 4)
        pairs = take_turns(*turns, rounds)
        yield compare(
            f"GET by {_THREADS} threads, beside one alone", pairs, None, beside="one thread"
        )


@contextlib.contextmanager
def _sessions() -> Iterator[List[requests.Session]]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(requests.Session()) for _ in range(_THREADS)]
        for session in opened:
            session.mount("http://", HTTPAdapter(pool_maxsize=_THREADS))
        yield opened


def crowd(gets: Sequence[Callable[[], object]], calls: int) -> Turn:
    """Return a turn: wall time in µs for each of ``calls`` calls by each of many threads."""

    def turn() -> float:
        gate = threading.Barrier(len(gets) + 1)
        failures: List[Exception] = []

        def run(get: Callable[[], object]) -> None:
            gate.wait()
            try:
                for _ in range(calls):
                    get()
            except Exception as error:  # or the thread would end early, and be the fastest
                failures.append(error)

        running = [threading.Thread(target=run, args=(get,)) for get in gets]
        for thread in running:
            thread.start()
        gate.wait()
        began = time.perf_counter()
        for thread in running:
            thread.join()
        taken = time.perf_counter() - began
        if failures:
            raise failures[0]
        return taken / (calls * len(gets)) * 1e6

    return turn


def growth(scale: Scale) -> Iterator[Figure]:
    """Measure what many patterns, origins and scopes cost beside few."""
    yield from endpoints(scale)
    yield from origins(scale)
    yield from statistics(scale)
