"""Small requests of the asynchronous manager beside ``httpx.AsyncClient`` and aiohttp.

All clients live on one event loop, have the same limits and take turns. Every answer is checked;
that each of many concurrent requests gets its own is checked before.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional, Tuple

import httpx

from benchmarks.measure import Figure, Scale, Turn, compare, interleave, skipped
from benchmarks.server import BODY, serving
from benchmarks.subjects import CREDENTIALS, answered, check_head, full_async_manager

_AT_ONCE = 100
_LIMITS = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
# httpx's own; what is beyond 20 is closed after each use.
_DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)

_BARE = "httpx.AsyncClient"
_MISSING = "aiohttp is not installed"
_Get = Callable[[], Awaitable[None]]
_Measured = Dict[str, List[float]]


def small_requests(scale: Scale) -> Iterator[Figure]:
    """Compare a keep-alive GET with everything on to httpx.AsyncClient, alone and 100 at once."""
    loop = asyncio.new_event_loop()
    try:
        with serving() as origin:
            # Clients of their own: idle connections in the pool slow down each request of httpx.
            with _clients(loop, origin, _LIMITS, 1) as gets:
                turns = {name: _microseconds(loop, gets[name], scale.calls) for name in gets}
                alone = interleave(turns, scale.rounds)
            with _clients(loop, origin, _LIMITS, _AT_ONCE) as gets:
                turns = {name: _rate(loop, gets[name], scale.calls * 10) for name in gets}
                crowd = interleave(turns, scale.rounds)
            yield from _figures(alone, crowd)
            with _clients(loop, origin, _DEFAULT_LIMITS, _AT_ONCE) as gets:
                both = ("ours", "bare")
                turns = {name: _rate(loop, gets[name], scale.calls * 10) for name in both}
                crowd = interleave(turns, max(1, scale.rounds // 3))
            yield _at_once("async GET, 100 at once, httpx's default limits", crowd, "ours", None)
    finally:
        loop.close()


def _figures(alone: _Measured, crowd: _Measured) -> Iterator[Figure]:
    yield _alone("async GET, one at a time", alone, "ours", 1.0)
    yield _at_once("async GET, 100 at once", crowd, "ours", 2.5)
    yield _alone("async GET over aiohttp, one at a time", alone, "over aiohttp", None)
    yield _at_once("async GET over aiohttp, 100 at once", crowd, "over aiohttp", 4.5)
    yield _alone("aiohttp instead of ours, one at a time", alone, "aiohttp", None)
    yield _at_once("aiohttp instead of ours, 100 at once", crowd, "aiohttp", None)


def _alone(name: str, measured: _Measured, ours: str, target: Optional[float]) -> Figure:
    if ours not in measured:
        return skipped(name, _MISSING, target)
    pairs = list(zip(measured[ours], measured["bare"]))
    return compare(name, pairs, target, beside=_BARE)


def _at_once(name: str, measured: _Measured, ours: str, target: Optional[float]) -> Figure:
    if ours not in measured:
        return skipped(name, _MISSING, target, at_least=True)
    pairs = list(zip(measured[ours], measured["bare"]))
    return compare(name, pairs, target, "req/s", at_least=True, beside=_BARE)


def _microseconds(loop: asyncio.AbstractEventLoop, get: _Get, calls: int) -> Turn:
    return lambda: loop.run_until_complete(seconds_of(get, calls, 1)) / calls * 1e6


def _rate(loop: asyncio.AbstractEventLoop, get: _Get, calls: int) -> Turn:
    return lambda: calls / loop.run_until_complete(seconds_of(get, calls, _AT_ONCE))


async def seconds_of(get: Callable[[], Awaitable[Any]], calls: int, at_once: int) -> float:
    """Return the seconds that so many calls take, with so many of them in flight at any time."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for _ in numbers:
            await get()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return time.perf_counter() - began


@contextlib.contextmanager
def _clients(
    loop: asyncio.AbstractEventLoop, origin: str, limits: httpx.Limits, at_once: int
) -> Iterator[Dict[str, _Get]]:
    stack = contextlib.AsyncExitStack()
    try:
        yield loop.run_until_complete(_open(stack, origin, limits, at_once))
    finally:
        loop.run_until_complete(stack.aclose())


async def _open(
    stack: contextlib.AsyncExitStack, origin: str, limits: httpx.Limits, at_once: int
) -> Dict[str, _Get]:
    clients: Dict[str, Any] = {
        "ours": full_async_manager(origin, limits=limits),
        "bare": httpx.AsyncClient(limits=limits),
    }
    with_aiohttp = importlib.util.find_spec("aiohttp") is not None
    if with_aiohttp:
        clients["over aiohttp"] = full_async_manager(origin, limits=limits, http_backend="aiohttp")
    gets: Dict[str, _Get] = {}
    for name, client in clients.items():
        await stack.enter_async_context(client)
        await _prove(client, origin, at_once, () if name == "bare" else (CREDENTIALS,))
        gets[name] = _getting(client, f"{origin}/json")
    if with_aiohttp:
        gets["aiohttp"] = await _raw_aiohttp(stack, f"{origin}/json")
    return gets


async def _prove(client: Any, origin: str, at_once: int, parts: Tuple[bytes, ...]) -> None:
    targets = iter([f"/head?{number}" for number in range(3 * at_once)])

    async def worker() -> None:
        for target in targets:
            response = await client.get(origin + target)
            check_head(response.content, f"GET {target} ", *parts)

    await asyncio.gather(*(worker() for _ in range(at_once)))


def _getting(client: Any, url: str) -> _Get:
    async def get() -> None:
        answered(await client.get(url))

    return get


async def _raw_aiohttp(stack: contextlib.AsyncExitStack, url: str) -> _Get:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=_AT_ONCE)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def get() -> None:
        async with session.get(url) as response:
            if response.status != 200 or await response.read() != BODY:
                raise AssertionError(f"not the answer: {response!r}")

    return get
