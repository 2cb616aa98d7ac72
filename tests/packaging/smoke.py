"""Use an installed package, away from its source tree: ``python smoke.py``.

Needs nothing but the package and what it depends on.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, List

import requests_connection_manager as package


class Handler(BaseHTTPRequestHandler):
    """Answers 503 to the first request for a path, then 200."""

    protocol_version = "HTTP/1.1"
    seen: List[str] = []  # noqa: RUF012  # on purpose: all connections of this process share it

    def do_GET(self) -> None:
        """Answer."""
        status = 200 if self.path in self.seen else 503
        self.seen.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def check_installed() -> None:
    """Check that the package is the installed one and whole."""
    directory = Path(package.__file__).resolve().parent
    assert "site-packages" in directory.parts, directory
    assert (directory / "py.typed").is_file()
    assert importlib.metadata.version("requests-connection-manager") == package.__version__
    for name in package.__all__:
        getattr(package, name)
    if sys.version_info >= (3, 10):
        tops = importlib.metadata.packages_distributions()
        ours = [top for top, names in tops.items() if "requests-connection-manager" in names]
        assert ours == ["requests_connection_manager"], ours


def use_both(url: str) -> None:
    """Send one retried request with either manager."""
    settings: Any = {"backoff_factor": 0.001, "max_retries": 2, "timeout": 10}
    with package.ConnectionManager(**settings) as manager:
        response = manager.get(f"{url}/sync")
        assert (response.status_code, response.text) == (200, "ok")
        assert manager.get_stats()["circuit_breaker_state"] == "closed"

    async def run() -> None:
        async with package.AsyncConnectionManager(**settings) as manager:
            response = await manager.get(f"{url}/async")
            assert (response.status_code, response.text) == (200, "ok")

    asyncio.run(run())
    assert Handler.seen == ["/sync", "/sync", "/async", "/async"], Handler.seen


def main() -> None:
    """Run all of it."""
    check_installed()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        use_both(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
    print(
        f"requests-connection-manager {package.__version__} works on Python", sys.version.split()[0]
    )


if __name__ == "__main__":
    main()
