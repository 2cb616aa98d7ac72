"""How the package is layered, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, Sequence, Set, Tuple

import pytest

import requests_connection_manager
from requests_connection_manager.testing import FaultServer, reply

ROOT = Path(requests_connection_manager.__file__).parent
PACKAGE = "requests_connection_manager"

# Each layer may import from those above it, and within itself only where this is acyclic.
LAYERS: Tuple[Tuple[str, ...], ...] = (
    ("_lazy_regex", "_lazy_names", "_frozen_dataclass", "_forks", "_originals"),
    ("connections", "connections.trace", "connections.books", "connections.asyncio_socket"),
    ("connections.asyncio_stream",),
    (
        *("exceptions", "defaults", "types", "outcome", "redaction", "url_query", "extras"),
        *("certificates", "origins", "rewinding"),
    ),
    (
        *("utils", "patterns", "flavours", "base_url", "content", "_struct_models", "validation"),
        *("error_detail", "success"),
    ),
    (
        "policies",
        "policies._checks",
        "policies.ticket_queue",
        "policies.retry",
        "policies.retry_budget",
        "policies.rate_limit",
        "policies.circuit_breaker",
        "policies.deadline",
        "policies.auth",
    ),
    ("plugins", "settings", "_line_parser"),
    ("json_lines",),
    ("event_stream",),
    ("checks", "endpoints"),
    ("stages", "events", "redirects"),
    ("registry",),
    ("stats", "attempt_headers", "call", "call_events"),
    ("core", "hop", "failure"),
    ("admission",),
    ("pipeline",),
    (
        "_requests_errors",
        "_httpx_errors",
        "connections.http1",
        "connections.wire",
        "connections.network",
        "environment",
    ),
    ("connections.sync_network", "connections.sync_http2", "connections.async_http11"),
    ("connections.async_connection",),
    ("connections.async_pool",),
    (
        *("transport", "_redirect_request", "_deadline_body", "preparation"),
        *("_requests_phases", "_requests_timeouts"),
    ),
    ("connections.http1_request", "connections.aiohttp_errors", "connections.aiohttp_parser"),
    ("connections.aiohttp_opening",),
    ("connections.aiohttp_connection",),
    ("connections.aiohttp_pool", "connections.aiohttp_exchange"),
    ("connections.aiohttp_transport",),
    ("http_backends",),
    ("_httpx_building", "_httpx_shortcuts"),
    ("_httpx_hop",),
    ("_sync", "_async", "_sync_httpx", "renewal"),
    ("inspection",),
    ("adapter", "management"),
    ("_httpx_arguments",),
    ("_httpx_calls",),
    (
        "streaming",
        "streaming.exchange",
        "streaming.reader",
        "streaming.resumption",
        "streaming.event_source",
        "streaming.json_stream",
        "streaming.checksum",
        "streaming.content_range",
        "streaming.download_target",
        "streaming.gzip_members",
        "streaming.kept_part",
        "streaming.partial_file",
        "streaming.progress",
        "streaming.validators",
        "streaming.write_behind",
        "streaming.transfer",
        "streaming._download",
        "streaming._requests_exchange",
        "streaming._httpx_exchange",
        "streaming.faces",
    ),
    (
        "batch",
        "batch.crew",
        "batch.items",
        "batch.result",
        "batch.gather",
        "batch.journal",
        "batch._file_lock",
        "batch._key_index",
        "batch.json_lines_journal",
        "batch.sqlite_journal",
        "batch.recorder",
        "batch.intake",
        "batch.progress",
        "batch.plan",
        "batch._threads",
        "batch._tasks",
        "batch.async_batch",
        "batch._requests_responses",
        "batch._httpx_responses",
        "batch.faces",
    ),
    ("manager", "async_manager", "httpx_client"),
    ("connector",),
    (
        "rest",
        "rest.exceptions",
        "rest.options",
        "rest.immutable",
        "rest.home_cookies",
        "rest.from_env",
        "rest.versions",
        "rest.given",
        "rest._plain",
        "rest.serialization",
        "rest._sources",
        "rest._forms",
        "rest.uploads",
        "rest.bodies",
        "rest.answers",
        "rest._calls",
        "rest.client",
        "rest.async_client",
    ),
    (
        "client_patterns",
        "client_patterns.exceptions",
        "client_patterns.error_detail",
        "client_patterns.function_hop",
        "client_patterns.request_body",
        "client_patterns.status_retry",
        "client_patterns.retrying",
        "client_patterns.sessions",
        "client_patterns.rate_limited_client",
    ),
    (
        "api_engine",
        "api_engine.exceptions",
        "api_engine.interfaces",
        "api_engine.interfaces.base_circuit_breaker",
        "api_engine.interfaces.base_http_client",
        "api_engine.interfaces.base_rate_limiter",
        "api_engine.interfaces.base_request_hook",
        "api_engine.interfaces.base_request_model",
        "api_engine.interfaces.base_request_strategy",
        "api_engine._source",
        "api_engine._body",
        "api_engine._outgoing",
        "api_engine._exchange",
        "api_engine._per_loop",
        "api_engine._aiohttp_pool",
        "api_engine.request_model",
        "api_engine.aiohttp_client",
        "api_engine.httpx_client",
        "api_engine.breaker",
        "api_engine.limiter",
        "api_engine._hop",
        "api_engine.failures",
        "api_engine.strategy",
        "api_engine.client",
    ),
    (
        "integrations",
        "integrations._labels",
        "integrations._spans",
        "integrations._otel_metrics",
        "integrations._prometheus_metrics",
        "integrations.opentelemetry",
        "integrations.prometheus",
    ),
    ("", "testing", "testing.clock", "testing.replies", "testing.server"),
)
RANK: Dict[str, int] = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# Nothing but these may know the library of their side.
KNOW_REQUESTS = {
    "_requests_errors",
    "_requests_phases",
    "_redirect_request",
    "_deadline_body",
    "_sync",
    "connections.wire",
    "adapter",
    "batch._requests_responses",
    "client_patterns.retrying",
    "connector",
    "environment",
    "manager",
    "preparation",
    "streaming._requests_exchange",
    "types",
}
KNOW_HTTPX = {
    "connections.async_http11",
    "_httpx_errors",
    "connections.aiohttp_transport",
    "transport",
}
# Code that must run without sleeping, sending or an event loop.
PURE = [
    *(name for name in RANK if name.startswith("policies")),
    *("outcome", "endpoints", "patterns", "_line_parser", "json_lines", "event_stream"),
]


def modules() -> Dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


MODULES = modules()


@lru_cache(maxsize=None)
def parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@lru_cache(maxsize=None)
def imported(name: str) -> Tuple[str, ...]:
    return tuple(_imported(name))


def _imported(name: str) -> Iterator[str]:
    """Yield the absolute names of what a module imports, outside ``if TYPE_CHECKING``."""
    path = MODULES[name]
    package = [PACKAGE, *[part for part in name.split(".") if part]]
    if path.name != "__init__.py":
        package = package[:-1]
    skipped: Set[ast.AST] = set()
    tree = parsed(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(one for child in node.body for one in ast.walk(child))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def ours(name: str) -> Set[str]:
    """Return the modules of the package that a module imports."""
    prefix = PACKAGE + "."
    return {
        one[len(prefix) :]
        for one in imported(name)
        if one.startswith(prefix) and one[len(prefix) :] in MODULES
    }


def roots(name: str) -> Set[str]:
    return {one.split(".")[0] for one in imported(name)}


def test_every_module_has_its_place_in_the_layering() -> None:
    assert set(MODULES) - set(RANK) == set(), "a new module needs a place in LAYERS"
    assert set(RANK) - set(MODULES) == set(), "a module that is gone must leave LAYERS"


@pytest.mark.parametrize("name", sorted(RANK))
def test_imports_point_one_way(name: str) -> None:
    wrong = {one for one in ours(name) if RANK.get(one, 99) > RANK[name]}
    assert wrong == set(), f"{name} imports from a layer below it: {wrong}"


def test_no_import_goes_in_a_circle() -> None:
    done: Set[str] = set()

    def visit(name: str, above: Tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in ours(name) - {name}:
                visit(other, (*above, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def test_the_exceptions_know_nothing_of_ours() -> None:
    assert ours("exceptions") == {"_frozen_dataclass"}
    assert ours("defaults") == set()
    assert ours("redaction") == {"_lazy_regex"}


@pytest.mark.parametrize("name", sorted(RANK))
def test_only_the_drivers_know_an_http_library(name: str) -> None:
    if name not in KNOW_REQUESTS:
        assert "requests" not in roots(name)
    if name not in KNOW_HTTPX:
        assert "httpx" not in roots(name)


@pytest.mark.parametrize("name", sorted(PURE))
def test_policies_neither_sleep_nor_send(name: str) -> None:
    unwanted = {"requests", "httpx", "anyio", "asyncio", "socket", "http", "ssl", "random"}
    if name == "policies.retry":
        unwanted.remove("random")  # the jitter
    assert roots(name) & unwanted == set()
    # The clock is injected; time.monotonic is its default, and nothing else of time is used.
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "time" or node.attr == "monotonic"


def run(code: str, *options: str, arguments: Sequence[str] = ()) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def test_importing_and_building_a_manager_leaves_the_heavy_modules_alone() -> None:
    out = run(
        "import sys, requests_connection_manager as package\n"
        "heavy = ('httpx', 'anyio', 'asyncio', 'pybreaker', 'redis', 'trio', 'ratelimit')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "package.ConnectionManager()\n"
        "print([name for name in ('httpx', 'anyio', 'asyncio', 'redis') if name in sys.modules])\n"
    )
    assert out.splitlines() == ["[]", "[]"]


# What the first manager loads, the first request, and what only some programs, or only failures.
BUILDING = {"registry", "stages", "policies.circuit_breaker", "policies.rate_limit"}
SENDING = {
    "_sync",
    "pipeline",
    "admission",
    "hop",
    "connections.http1",
    "_deadline_body",
    "url_query",
}
RARE = {
    *("_requests_errors", "_requests_phases", "failure", "flavours", "error_detail", "redirects"),
    *("attempt_headers", "inspection", "_line_parser", "batch.gather", "certificates", "extras"),
}
# Importing redis and tornado along with pybreaker takes as long as importing requests.
LOADED = """
import sys
import requests
before = set(sys.modules)
from requests_connection_manager import ConnectionManager
def show():
    print(*sorted(set(sys.modules) - before))
show()
manager = ConnectionManager()
show()
print(manager.get(sys.argv[1]).status_code)
show()
"""


def test_a_program_loads_only_what_it_uses() -> None:
    with FaultServer() as server:
        server.route("/", reply(200))
        imported, built, status, used = run(LOADED, arguments=[server.url("/")]).splitlines()
    assert status == "200"
    for line, unwanted in (
        (imported, RARE | SENDING | BUILDING),
        (built, RARE | SENDING),
        (used, RARE),
    ):
        own = {name.partition(".")[2] for name in line.split() if name.startswith(PACKAGE)}
        assert unwanted <= set(MODULES), "a name of the lists is out of date"
        assert own & unwanted == set()
    # "dataclasses" and "inspect" would take 4 ms, and definitions with them 10 more.
    others = {one.partition(".")[0] for one in f"{imported} {built}".split()} - {PACKAGE}
    assert others <= {"contextvars", "_contextvars"}
    assert {"pybreaker", "dataclasses", "inspect", "asyncio"} & set(used.split()) == set()


def test_importing_makes_no_warning() -> None:
    run("import requests_connection_manager", "-W", "error")
    run("from requests_connection_manager import AsyncConnectionManager", "-W", "error")
    run("import requests_connection_manager.testing", "-W", "error")


def test_the_testing_helpers_need_no_http_library() -> None:
    assert {"requests", "httpx"} & roots("testing.server") == set()


def test_every_name_of_all_can_be_imported_and_is_shown() -> None:
    out = run(
        "import requests_connection_manager as package\n"
        "names = {}\n"
        "exec('from requests_connection_manager import *', names)\n"
        "print(sorted(set(package.__all__) - set(names)))\n"
        "print(sorted(set(package.__all__) - set(dir(package))))\n"
        "print(len(package.__all__) == len(set(package.__all__)))\n"
    )
    assert out.splitlines() == ["[]", "[]", "True"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        requests_connection_manager.Nonsense  # noqa: B018  # the access is what is tested


@pytest.mark.parametrize("name", sorted(MODULES))
def test_each_module_says_what_it_holds(name: str) -> None:
    assert ast.get_docstring(parsed(name))
