"""CPU time per request: small requests, and the pipeline alone."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Callable, Dict, Iterator, List

import requests
import urllib3

from benchmarks.measure import (
    Figure,
    Scale,
    added,
    compare,
    interleave,
    process_time_of,
    take_turns,
)
from benchmarks.server import BODY, serving
from benchmarks.subjects import (
    CREDENTIALS,
    AnsweredHop,
    CannedAdapter,
    answered,
    canned_manager,
    canned_session,
    check_head,
    full_manager,
)
from requests_connection_manager import ConnectionManager

_POSTED: Any = {"text": "x" * 1000, "number": 1}
_POSTED_BYTES = json.dumps(_POSTED).encode()
_NO_NETWORK = "http://127.0.0.1:1"
_TARGET = 0.60
_BARE = "requests.Session"

Call = Callable[[], object]


def small_requests(scale: Scale) -> Iterator[Figure]:
    """Compare a keep-alive GET, and a POST of 1 KB JSON, with everything on to bare requests."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(serving())
        manager = stack.enter_context(full_manager(origin))
        plain = stack.enter_context(ConnectionManager(**_OFF))
        session = stack.enter_context(requests.Session())
        # The headers that requests sends: they are part of the work.
        pool = stack.enter_context(urllib3.PoolManager(headers=dict(session.headers)))
        _prove(manager, origin, CREDENTIALS)
        _prove(session, origin)
        get: Dict[str, Call] = {
            "ours": _get(manager, origin),
            "bare": _get(session, origin),
            "plain": _get(plain, origin),
            "urllib3": lambda: _answered(pool.request("GET", f"{origin}/json")),
        }
        post: Dict[str, Call] = {
            "ours": _post(manager, origin),
            "bare": _post(session, origin),
            "urllib3": lambda: _answered(_posted_by(pool, origin)),
        }
        for method, calls in (("GET", get), ("POST 1 KB JSON", post)):
            turns = {name: process_time_of(call, scale.calls) for name, call in calls.items()}
            yield from _figures(method, interleave(turns, scale.rounds))


_OFF: Dict[str, Any] = {
    "rate_limit_requests": None,
    "max_retries": 0,
    "circuit_breaker_failure_threshold": None,
}


def _figures(method: str, measured: Dict[str, List[float]]) -> Iterator[Figure]:
    names = {
        "ours": (f"sync {method}, everything on", _TARGET),
        "plain": (f"sync {method}, everything off", None),
        "urllib3": (f"urllib3 instead of ours, {method}", None),
    }
    for subject, (name, target) in names.items():
        if subject in measured:
            pairs = list(zip(measured[subject], measured["bare"]))
            yield compare(name, pairs, target, beside=_BARE)


def _get(session: requests.Session, origin: str) -> Call:
    return lambda: answered(session.get(f"{origin}/json"))


def _post(session: requests.Session, origin: str) -> Call:
    return lambda: answered(session.post(f"{origin}/json", json=_POSTED))


def _posted_by(pool: urllib3.PoolManager, origin: str) -> urllib3.BaseHTTPResponse:
    # What its own json= does came with urllib3 2.1.
    body = json.dumps(_POSTED).encode()
    headers = {**pool.headers, "Content-Type": "application/json"}
    return pool.request("POST", f"{origin}/json", body=body, headers=headers)


def _answered(response: urllib3.BaseHTTPResponse) -> None:
    if response.status != 200 or response.data != BODY:
        raise AssertionError(f"not the answer: {response!r}")


def _prove(session: requests.Session, origin: str, *more: bytes) -> None:
    length = b"content-length: %d" % len(_POSTED_BYTES)
    for number in range(3):
        target = f"/head?{number}"
        check_head(session.get(origin + target).content, f"GET {target} ", *more)
        posted = session.post(origin + target, json=_POSTED)
        check_head(posted.content, f"POST {target} ", length, b"application/json", *more)


def pipeline(scale: Scale) -> Iterator[Figure]:
    """Measure the pipeline alone, a whole hop beyond its adapter, a call beyond a session's."""
    url = f"{_NO_NETWORK}/json"
    calls = scale.calls * 5
    adapter = CannedAdapter()
    with canned_manager(_NO_NETWORK, adapter) as manager, canned_session() as session:
        prepared = manager.prepare_request(requests.Request("GET", url))
        through = manager.get_adapter(url)
        hop = AnsweredHop(manager.core, through, prepared)
        pairs = take_turns(
            process_time_of(hop.run, calls), process_time_of(lambda: None, calls), scale.rounds
        )
        yield added("pipeline: run_pipeline alone", pairs, 25)
        pairs = take_turns(
            process_time_of(lambda: through.send(prepared), calls),
            process_time_of(lambda: adapter.send(prepared), calls),
            scale.rounds,
        )
        yield added("pipeline: one hop, beyond its adapter", pairs, None)
        pairs = take_turns(
            process_time_of(lambda: manager.get(url), calls),
            process_time_of(lambda: session.get(url), calls),
            scale.rounds,
        )
        yield added("pipeline: one call, beyond a bare session", pairs, 25)
