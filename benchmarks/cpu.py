"""CPU time per request: small requests, the pipeline alone, many endpoint patterns."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Dict, Iterator, List

import requests

from benchmarks.measure import Figure, Scale, added, compare, process_time_of, take_turns
from benchmarks.server import serving
from benchmarks.subjects import (
    AnsweredHop,
    CannedAdapter,
    canned_manager,
    canned_session,
    full_manager,
)

_POSTED: Any = {"text": "x" * 1000, "number": 1}
_NO_NETWORK = "http://127.0.0.1:1"


def small_requests(scale: Scale) -> Iterator[Figure]:
    """Compare one keep-alive GET, and one POST of 1 KB JSON, with everything on to bare."""
    with serving() as origin:
        url = f"{origin}/json"
        with full_manager(origin) as manager, requests.Session() as session:
            pairs = take_turns(
                process_time_of(lambda: manager.get(url), scale.calls),
                process_time_of(lambda: session.get(url), scale.calls),
                scale.rounds,
            )
            yield compare("GET, everything on", pairs, 0.75)
            pairs = take_turns(
                process_time_of(lambda: manager.post(url, json=_POSTED), scale.calls),
                process_time_of(lambda: session.post(url, json=_POSTED), scale.calls),
                scale.rounds,
            )
            yield compare("POST 1 KB JSON, everything on", pairs, 0.75)
        with requests.Session() as session:
            yield from _plain_manager(scale, url, session)


def _plain_manager(scale: Scale, url: str, session: requests.Session) -> Iterator[Figure]:
    from requests_connection_manager import ConnectionManager

    off: Dict[str, Any] = {
        "rate_limit_requests": None,
        "max_retries": 0,
        "circuit_breaker_failure_threshold": None,
    }
    with ConnectionManager(**off) as manager:
        pairs = take_turns(
            process_time_of(lambda: manager.get(url), scale.calls),
            process_time_of(lambda: session.get(url), scale.calls),
            scale.rounds,
        )
        yield compare("GET, everything off", pairs, None)


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


_Patterns = Callable[[int], List[str]]


def _hosts(count: int) -> List[str]:
    return [f"http://host-{number}.test/v1/*" for number in range(count)]


def _wildcards(count: int) -> List[str]:
    return [f"*.zone-{number}.test" for number in range(count)]


def _paths(count: int) -> List[str]:
    return [f"{_NO_NETWORK}/v1/resource-{number}" for number in range(count)]


def endpoints(scale: Scale) -> Iterator[Figure]:
    """Compare 10,000 endpoint patterns to one: the whole call, each to a URL not seen before."""
    count = 10_000 if scale.full else 1_000
    layouts: Dict[str, _Patterns] = {
        "of other hosts": _hosts,
        "with wildcards": _wildcards,
        "of one host": _paths,
    }
    for text, patterns in layouts.items():
        with _patterned(patterns(count)) as many, _patterned(patterns(1)) as one:
            pairs = take_turns(
                process_time_of(_fresh_urls(many), scale.calls),
                process_time_of(_fresh_urls(one), scale.calls),
                scale.rounds,
            )
        yield compare(f"{count:,} endpoint patterns {text}", pairs, 1.1)


def _patterned(patterns: List[str]) -> Any:
    return canned_manager(
        _NO_NETWORK, endpoint_configs={pattern: {"timeout": 20} for pattern in patterns}
    )


def _fresh_urls(manager: Any) -> Callable[[], object]:
    numbers = itertools.count()
    return lambda: manager.get(f"{_NO_NETWORK}/v1/resource-0/{next(numbers)}")
