"""Pieces are written one after the other while more come in."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, List

import pytest

from requests_connection_manager._sync import run_sync
from requests_connection_manager.streaming.write_behind import WriteBehind


async def here(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def test_the_caller_goes_on_while_a_piece_is_written() -> None:
    gate, written, threads = threading.Event(), [], set()

    def write(piece: bytes) -> None:
        assert gate.wait(30)
        threads.add(threading.get_ident())
        written.append(piece)

    writer = WriteBehind(write, here)
    writer.begin(b"one")
    assert written == []
    gate.set()
    assert run_sync(writer.finish())
    writer.begin(b"two")
    assert run_sync(writer.finish())
    assert not run_sync(writer.finish())
    run_sync(writer.aclose())
    assert written == [b"one", b"two"]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_what_the_writing_raises_is_raised_when_it_is_waited_for() -> None:
    def write(piece: bytes) -> None:
        raise OSError("no space left")

    writer = WriteBehind(write, here)
    writer.begin(b"one")
    with pytest.raises(OSError, match="no space left"):
        run_sync(writer.finish())
    run_sync(writer.aclose())


def test_it_ends_when_its_last_piece_is_written() -> None:
    gate, written = threading.Event(), []

    def write(piece: bytes) -> None:
        assert gate.wait(30)
        written.append(threading.current_thread())

    async def open_the_gate(function: Callable[..., Any], *args: Any) -> Any:
        gate.set()
        return function(*args)

    writer = WriteBehind(write, open_the_gate)
    writer.begin(b"one")
    run_sync(writer.aclose())
    (thread,) = written
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("times", [1, 2])
def test_it_does_not_end_before_when_its_task_is_cancelled(times: int) -> None:
    gate, seen = threading.Event(), []

    def write(piece: bytes) -> None:
        assert gate.wait(30)
        seen.append("written")

    async def cancelled(function: Callable[..., Any], *args: Any) -> Any:
        seen.append("cancelled")
        if len(seen) == times:
            gate.set()
        if len(seen) <= times:
            raise asyncio.CancelledError
        return function(*args)

    async def save() -> None:
        try:
            writer.begin(b"one")
            await writer.finish()
        finally:
            await writer.aclose()

    writer = WriteBehind(write, cancelled)
    with pytest.raises(asyncio.CancelledError):
        run_sync(save())
    assert "written" in seen


def test_no_thread_starts_where_nothing_is_begun() -> None:
    before: List[threading.Thread] = threading.enumerate()
    writer = WriteBehind(print, here)
    assert not run_sync(writer.finish())
    run_sync(writer.aclose())
    assert set(threading.enumerate()) <= set(before)
