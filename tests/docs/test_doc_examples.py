"""The examples of README.rst and of the pages run, and show what they say.

The Python blocks of a page run one after the other in one namespace, as a reader would type them.
``pycon`` blocks are doctests; a ``text`` block after "It prints:" is what the Python block before
it printed. Waiting takes no time, and nothing but the loopback interface is reachable. A block
marked ``<!-- needs: name -->`` uses another project's package: it runs on its own, where that
package is installed.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import requests_connection_manager.core
from requests_connection_manager import ConnectionManager
from requests_connection_manager.testing import FaultServer, VirtualClock

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r"^(?P<prints>It prints:\n+)?(?:<!-- needs: (?P<needs>\w+) -->\n+)?"
    r"```(?P<kind>python|pycon|text)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_DIRECTIVE = re.compile(
    r"^(?P<prints>It prints:\n+)?\.\. code-block:: (?P<kind>python|pycon|text)\n\n"
    r"(?P<code>(?:(?:    .*)?\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One code block of a page."""

    kind: str
    code: str
    line: int
    needs: str = ""
    prints: bool = False


def blocks_of(page: Path) -> List[Block]:
    text = page.read_text(encoding="utf-8")
    found = (_DIRECTIVE if page.suffix == ".rst" else _FENCE).finditer(text)
    blocks = []
    for match in found:
        groups = match.groupdict()
        code = groups["code"]
        if page.suffix == ".rst":
            code = re.sub(r"^ {4}", "", code, flags=re.MULTILINE).rstrip() + "\n"
        line = text.count("\n", 0, match.start("code"))
        prints = bool(groups["prints"])
        blocks.append(Block(groups["kind"], code, line, groups.get("needs") or "", prints))
    return blocks


class Page:
    """Runs blocks in one namespace."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.namespace: Dict[str, Any] = {"__name__": "__main__"}
        self.printed = ""

    def run(self, block: Block) -> None:
        if block.kind == "python":
            self._execute(block)
        elif block.kind == "pycon":
            self._compare(block)
        elif block.prints:
            assert self.printed == block.code, f"{self.path.name}:{block.line}"

    def _execute(self, block: Block) -> None:
        code = compile("\n" * block.line + block.code, str(self.path), "exec", dont_inherit=True)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, self.namespace)
        self.printed = output.getvalue()

    def _compare(self, block: Block) -> None:
        parser = doctest.DocTestParser()
        test = parser.get_doctest(block.code, {}, self.path.name, str(self.path), block.line)
        test.globs = self.namespace  # DocTest copies what it is given
        report: List[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=report.append, clear_globs=False)
        assert not runner.failures, "".join(report)

    def close(self) -> None:
        for value in self.namespace.values():
            if isinstance(value, (FaultServer, ConnectionManager)):
                value.close()


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make waits instant, and every host but this one unreachable."""
    monkeypatch.setattr(requests_connection_manager.core, "SystemClock", VirtualClock)
    resolve = socket.getaddrinfo

    def resolve_loopback(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        assert name in (None, "127.0.0.1", "localhost"), f"an example wants to reach {host!r}"
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_loopback)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Page]:
    page = Page(path)
    try:
        yield page
    finally:
        page.close()


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_examples_of_a_page(path: Path) -> None:
    with opened(path) as page:
        for block in blocks_of(path):
            if not block.needs:
                page.run(block)


_WITH_OTHERS = [
    pytest.param(path, block, id=f"{path.name}-{block.needs}-{block.line}")
    for path in PAGES
    for block in blocks_of(path)
    if block.needs
]


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize(("path", "block"), _WITH_OTHERS)
def test_examples_with_other_packages(path: Path, block: Block) -> None:
    if importlib.util.find_spec(block.needs) is None:
        pytest.skip(f"{block.needs} is not installed, so this example is not checked")
    with opened(path) as page:
        page.run(block)


def test_pages_have_examples() -> None:
    """Guard the two regular expressions: a page whose blocks were not found passes silently."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        marks = len(re.findall(r"^```(?:python|pycon)$|code-block:: (?:python|pycon)$", text, re.M))
        found = sum(block.kind in ("python", "pycon") for block in blocks_of(path))
        assert found == marks, path.name
    names = {path.name for path in PAGES if blocks_of(path)}
    assert {"README.rst", "getting-started.md", "configuration.md", "usage-examples.md"} <= names
