"""The tables of ``docs/conformance.md`` are complete, and what they say is there is there."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import typing
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, List, NamedTuple, Set, Tuple

import pytest

from requests_connection_manager import api_engine, client_patterns, connector
from requests_connection_manager.connector import RETRY_SETTINGS, APIConnector

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conformance.md"

FACES: Dict[str, ModuleType] = {
    "API Engine": api_engine,
    "APIConnector": connector,
    "HTTP client patterns": client_patterns,
}

# What the documents say beyond names, and what their faces must do with bad input.
RULES = {
    "API Engine": {
        "engine-diagram": "both class diagrams",
        "engine-basic-example": "Basic Usage",
        "engine-model-example": "With Pydantic Model Validation",
        "engine-limit-example": "With Rate Limiting",
        "engine-hook-example": "With Request Hooks",
        "engine-error-example": "Error Handling",
        "engine-custom-client": "Custom HTTP Client",
        "engine-custom-limiter": "Custom Rate Limiter",
        "engine-custom-breaker": "Custom Circuit Breaker",
        "engine-retry-waits": "sequence diagram: wait 2s, wait 4s, success",
        "engine-retry-growth": "increasing delays between attempts",
        "engine-retry-network": "intelligent retry with network error detection",
        "engine-retry-end": "max_retries",
        "engine-retry-final": "retry transient failures only",
        "engine-retry-after": "API rate limits",
        "engine-retry-body": "nothing is sent twice by halves",
        "engine-breaker-opens": "closed -> open: failures >= threshold; blocks requests",
        "engine-breaker-half-opens": "open -> half-open: cooldown period passed",
        "engine-breaker-closes": "half-open -> closed: successful request",
        "engine-breaker-reopens": "half-open -> open: failed request",
        "engine-breaker-counts": "stops requests during high error rates",
        "engine-limit-waits": "controls the rate at which requests are sent",
        "engine-limit-key": "key: unique identifier for this rate limit",
        "engine-limit-object": "BaseRateLimiter in place of the mapping",
        "engine-limit-retries": "retries are requests too",
        "engine-hooks-once": "before sending, after receiving",
        "engine-response-key": "response key extraction",
        "engine-response-key-missing": "a missing key",
        "engine-model-types": "model validation",
        "engine-model-refused": "data integrity",
        "engine-timeouts": "configurable request timeouts",
        "engine-bad-json": "a body that is not what it is labelled",
        "engine-bad-no-content": "a 204 with a model",
        "engine-bad-limiter": "a wrong limiter mapping",
        "engine-bad-hook": "a hook that raises",
        "engine-bad-client": "a custom client that returns nonsense",
        "engine-bad-arguments": "wrong arguments",
        "engine-bad-closed": "a closed client",
        "engine-loops": "two event loops",
    },
    "APIConnector": {
        "connector-example": "Use, first example",
        "connector-settings-example": "Use, second example",
        "connector-console-examples": "the methods, as in a console",
        "connector-retries": "automated retries",
        "connector-statuses": "status_forcelist: statuses to retry on",
        "connector-methods": "allowed_methods: methods that allow for a retry",
        "connector-formula": "Backoff Factor, the formula",
        "connector-delays": "Backoff Factor, the table",
        "connector-total": "Backoff Factor, 61s",
        "connector-raises": "raise_on_status=True",
        "connector-returns": "raise_on_status=False",
        "connector-live": "settings of a session that lives",
        "connector-mistakes": "a mistake in a setting",
        "connector-class-defaults": "defaults of a subclass",
        "connector-manager": "what a session has besides",
        "connector-shared": "connectors on one manager",
        "connector-context": "with",
        "connector-pickle": "pickling",
        "connector-threads": "threads",
    },
    "HTTP client patterns": {
        "patterns-libraries": "Choosing a Client: requests for sync, httpx for async",
        "patterns-aiohttp": "Choosing a Client: aiohttp",
        "patterns-sync-client": "Sync Client",
        "patterns-sync-errors": "Sync Client, its errors",
        "patterns-async-client": "Async Client",
        "patterns-async-reopens": "Async Client: get or create",
        "patterns-backoff-delays": "Exponential Backoff: the delays",
        "patterns-backoff-jitter": "Exponential Backoff: jitter",
        "patterns-backoff-last-error": "Exponential Backoff: last exception if all retries fail",
        "patterns-backoff-others": "Exponential Backoff: exceptions that trigger retry",
        "patterns-backoff-logs": "Exponential Backoff: logging",
        "patterns-request-attempts": "Retryable Status Codes: three attempts",
        "patterns-request-hint": "Retryable Status Codes: Retry-After, else 2 ** attempt",
        "patterns-request-last": "Retryable Status Codes: the last response",
        "patterns-timeout-always": "Timeouts: always set",
        "patterns-timeout-forms": "Timeouts: the three forms",
        "patterns-session-strategy": "requests Session: the strategy",
        "patterns-session-pools": "requests Session: the pools",
        "patterns-httpx-limits": "httpx Connection Limits",
        "patterns-rate-distance": "Rate Limit Handling: min_interval",
        "patterns-rate-429": "Rate Limit Handling: 429",
        "patterns-rate-errors": "Rate Limit Handling: raise_for_status",
        "patterns-detail-forms": "Error Response Parsing",
        "patterns-detail-more": "forms of services of today",
        "patterns-mock-success": "Testing: returns JSON",
        "patterns-mock-timeout": "Testing: timeout raises",
    },
}


class Row(NamedTuple):
    face: str
    name: str
    text: str
    tests: Tuple[str, ...]


def read_rows() -> Iterator[Row]:
    face = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            face = line[3:]
        elif line.startswith("| ") and set(line) - set("|- ") and "| shown by |" not in line:
            name, text, shown = (cell.strip() for cell in line.strip("|").split(" | "))
            yield Row(face, name, text, tuple(re.findall(r"`([^`]*)`", shown)))


ROWS = list(read_rows())
NAMED = [row for row in ROWS if row.name.startswith("`")]


@functools.lru_cache(maxsize=None)
def defined_in(path: str) -> Set[str]:
    """Return the tests of a file, those of classes with the class before them."""

    def found(body: List[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield prefix + node.name
            elif isinstance(node, ast.ClassDef):
                yield from found(node.body, f"{prefix}{node.name}::")

    return set(found(ast.parse((ROOT / path).read_text(encoding="utf-8")).body, ""))


def attribute(owner: Any, name: str) -> Any:
    """Return an attribute; one of instances is known by its annotation or description."""
    if isinstance(owner, type) and not hasattr(owner, name):
        documented = f":ivar {name}:" in (inspect.getdoc(owner) or "")
        assert documented or name in typing.get_type_hints(owner)
        return None
    return getattr(owner, name)


def check_name(face: ModuleType, written: str) -> None:
    """Fail when a module, a dotted name, or a parameter with its default is not there."""
    if written.startswith("requests_connection_manager"):
        importlib.import_module(written)
        return
    match = re.fullmatch(r"([\w.]+)(?:\((\w+)(?:=(.+))?\))?", written)
    assert match
    dotted, parameter, default = match.groups()
    one: Any = face
    for part in dotted.split("."):
        one = attribute(one, part)
    if parameter:
        known = inspect.signature(one).parameters[parameter]
        if default:
            assert known.default == ast.literal_eval(default)


def public_attributes(cls: type) -> Set[str]:
    """Return what a class of ours has for its users."""
    mine = {name for name, one in vars(cls).items() if callable(one) or isinstance(one, property)}
    return {name for name in mine if not name.startswith("_")}


def expected_names() -> Iterator[Tuple[str, str]]:
    for face, module in (("API Engine", api_engine), ("HTTP client patterns", client_patterns)):
        for name in module.__all__:
            yield face, name
            one = getattr(module, name)
            if isinstance(one, type):
                yield from ((face, f"{name}.{part}") for part in public_attributes(one))
    for name in api_engine.BaseRequestModel.__annotations__:
        yield "API Engine", f"BaseRequestModel.{name}"
    yield "APIConnector", "APIConnector"
    for name in {*public_attributes(APIConnector), *RETRY_SETTINGS, "base_url", "session"}:
        yield "APIConnector", f"APIConnector.{name}"
    for name in RETRY_SETTINGS:
        yield "APIConnector", f"APIConnector({name})"


@pytest.mark.parametrize("face", FACES)
def test_the_rules_of_a_document_are_the_rows_of_its_table(face: str) -> None:
    shown = [row.name for row in ROWS if row.face == face and not row.name.startswith("`")]
    assert sorted(shown) == sorted(RULES[face])


def test_the_tables_are_those_of_the_documents() -> None:
    assert {row.face for row in ROWS} == set(FACES) == set(RULES)


def test_no_row_is_there_twice() -> None:
    names = [(row.face, re.sub(r"=.*(?=\))", "", row.name)) for row in ROWS]
    assert not [name for name in set(names) if names.count(name) > 1]


def test_every_row_says_something_and_names_a_test() -> None:
    assert not [row.name for row in ROWS if not row.text or not row.tests]


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for row in ROWS:
        for test in row.tests:
            path, _, name = test.partition("::")
            if name not in defined_in(path) or not name.split("::")[-1].startswith("test_"):
                missing.append((row.name, test))
    assert not missing


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row.name.strip("`"))
def test_a_name_is_there_with_its_default(row: Row) -> None:
    check_name(FACES[row.face], row.name.strip("`"))


def test_nothing_public_is_left_out() -> None:
    there = {(row.face, re.sub(r"=.*(?=\))", "", row.name.strip("`"))) for row in NAMED}
    assert not sorted(set(expected_names()) - there)
