"""Throughput: large bodies that stream down and up, beside the same on the bare libraries.

A figure is of wall time, for what the disk and the other side do counts as well. Every subject of
ours has everything on, a deadline over the body included. A download is complete and on disk when
it returns, so its loop on bare httpx ends with ``fsync`` too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any, AsyncIterator, Awaitable, Callable, Iterator, NamedTuple, Tuple

import httpx
import requests

from benchmarks.measure import Figure, Scale, Turn, compare, take_turns
from benchmarks.server import serving
from benchmarks.subjects import full_async_manager, full_manager
from requests_connection_manager.rest import AsyncClient, Client

_MIB = 1024 * 1024
_CHUNK = 64 * 1024
_SECONDS = 600
# On both sides: with a timeout, CPython asks the kernel twice for each piece.
_TIMEOUT = 20
_TARGET = 0.95
_SESSION, _CLIENT, _ASYNC_CLIENT = "requests.Session", "httpx.Client", "httpx.AsyncClient"


class _Place(NamedTuple):
    """Where from, where to, and how much."""

    origin: str
    size: int
    folder: Path

    @property
    def down(self) -> str:
        return f"{self.origin}/stream/{self.size}"

    @property
    def up(self) -> str:
        return f"{self.origin}/json"

    @property
    def stored(self) -> Path:
        return self.folder / "up"

    @property
    def announced(self) -> Any:
        return {"Content-Length": str(self.size)}

    def clear(self) -> None:
        """Remove what was saved: to write over a file takes longer than to write a new one."""
        for name in ("ours", "bare"):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).unlink()

    def check(self, got: int) -> None:
        if got != self.size:
            raise AssertionError(f"{got} bytes of {self.size}")


class _Pair(NamedTuple):
    """Two that do the same."""

    name: str
    ours: Callable[[], object]
    bare: Callable[[], object]
    beside: str


def _pair(name: str, two: Tuple[Callable[[], Any], Callable[[], Any]], beside: str) -> _Pair:
    return _Pair(name, two[0], two[1], beside)


def throughput(scale: Scale) -> Iterator[Figure]:
    """Compare the throughput of large bodies, a quarter of ``--stream-mib`` in each turn."""
    size = max(1, scale.stream_mib // 4) * _MIB
    rounds = max(1, scale.rounds // 2)  # a turn is long
    with serving() as origin, tempfile.TemporaryDirectory() as folder:
        place = _Place(origin, size, Path(folder))
        with place.stored.open("wb") as file:
            file.truncate(size)
        for pairs in (_on_requests, _on_httpx, _on_async_httpx):
            for pair in pairs(place):
                turns = _mib_per_second(pair.ours, place), _mib_per_second(pair.bare, place)
                yield compare(
                    f"throughput, {pair.name}",
                    take_turns(*turns, rounds),
                    _TARGET,
                    "MiB/s",
                    at_least=True,
                    beside=pair.beside,
                )


def _mib_per_second(transfer: Callable[[], object], place: _Place) -> Turn:
    def turn() -> float:
        place.clear()
        began = time.perf_counter()
        transfer()
        return place.size / _MIB / (time.perf_counter() - began)

    return turn


# -- requests


def _on_requests(place: _Place) -> Iterator[_Pair]:
    with full_manager(place.origin, total_timeout=_SECONDS) as ours, requests.Session() as bare:
        for name, transfer in (
            ("sync down, iter_content", _iter_content),
            ("sync down, raw", _raw),
            ("sync up, a file", _up_from_file),
        ):
            yield _pair(name, _bound(transfer, place, ours, bare), _SESSION)


def _bound(
    transfer: Callable[[Any, _Place], Any], place: _Place, ours: Any, bare: Any
) -> Tuple[Callable[[], Any], Callable[[], Any]]:
    return (lambda: transfer(ours, place)), (lambda: transfer(bare, place))


def _iter_content(session: requests.Session, place: _Place) -> None:
    with session.get(place.down, stream=True, timeout=_TIMEOUT) as response:
        place.check(sum(map(len, response.iter_content(_CHUNK))))


def _raw(session: requests.Session, place: _Place) -> None:
    with session.get(place.down, stream=True, timeout=_TIMEOUT) as response:
        place.check(sum(map(len, iter(lambda: response.raw.read(_CHUNK), b""))))


def _up_from_file(session: requests.Session, place: _Place) -> None:
    with place.stored.open("rb") as file:
        session.put(place.up, data=file, timeout=_TIMEOUT).raise_for_status()


# -- httpx


def _on_httpx(place: _Place) -> Iterator[_Pair]:
    with Client(place.origin, total_timeout=_SECONDS) as ours, httpx.Client() as bare:
        yield _pair("Client down, iter_bytes", _bound(_iter_bytes, place, ours, bare), _CLIENT)
        yield _Pair(
            "Client.download",
            lambda: ours.download(place.down, place.folder / "ours"),
            lambda: _saved(bare, place),
            _CLIENT,
        )
        yield _Pair(
            "Client up, a path",
            lambda: ours.put(place.up, content=place.stored),
            lambda: bare.put(place.up, content=_pieces(place), headers=place.announced),
            _CLIENT,
        )


def _iter_bytes(client: Any, place: _Place) -> None:
    with client.stream("GET", place.down) as response:
        place.check(sum(map(len, response.iter_bytes())))


def _saved(client: httpx.Client, place: _Place) -> None:
    with client.stream("GET", place.down) as response, (place.folder / "bare").open("wb") as file:
        for chunk in response.iter_bytes():
            file.write(chunk)
        os.fsync(file.fileno())


def _pieces(place: _Place) -> Iterator[bytes]:
    with place.stored.open("rb") as file:
        yield from iter(lambda: file.read(_CHUNK), b"")


def _on_async_httpx(place: _Place) -> Iterator[_Pair]:
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        manager = full_async_manager(place.origin, total_timeout=_SECONDS)
        ours, bare = AsyncClient(place.origin, total_timeout=_SECONDS), httpx.AsyncClient()

        def pair(name: str, ours: _Transfer, bare: _Transfer) -> _Pair:
            run = loop.run_until_complete
            return _Pair(name, lambda: run(ours()), lambda: run(bare()), _ASYNC_CLIENT)

        for name, transfer in (
            ("async down, aiter_bytes", _aiter_bytes),
            ("async down, aiter_raw", _aiter_raw),
            ("async up, a generator", _aput),
        ):
            yield pair(name, *_bound(transfer, place, manager, bare))
        yield pair(
            "AsyncClient.download",
            lambda: ours.download(place.down, place.folder / "ours"),
            lambda: _asaved(bare, place),
        )
        yield pair(
            "AsyncClient up, a path",
            lambda: ours.put(place.up, content=place.stored),
            lambda: _aput(bare, place),
        )
        for client in (manager, ours, bare):
            loop.run_until_complete(client.aclose())


_Transfer = Callable[[], Awaitable[object]]


async def _aiter_bytes(client: Any, place: _Place) -> None:
    async with client.stream("GET", place.down) as response:
        place.check(sum([len(chunk) async for chunk in response.aiter_bytes()]))


async def _aiter_raw(client: Any, place: _Place) -> None:
    async with client.stream("GET", place.down) as response:
        place.check(sum([len(chunk) async for chunk in response.aiter_raw()]))


async def _aput(client: Any, place: _Place) -> None:
    await client.put(place.up, content=_apieces(place), headers=place.announced)


async def _apieces(place: _Place) -> AsyncIterator[bytes]:
    for piece in _pieces(place):
        yield piece


async def _asaved(client: httpx.AsyncClient, place: _Place) -> None:
    async with client.stream("GET", place.down) as response:
        with (place.folder / "bare").open("wb") as file:
            async for chunk in response.aiter_bytes():
                file.write(chunk)
            os.fsync(file.fileno())
