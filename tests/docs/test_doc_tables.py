"""The tables of docs/ say what the code has: settings, defaults, levels, events, patterns."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest

import requests_connection_manager as package
from requests_connection_manager import (
    AsyncConnectionManager,
    ConnectionManager,
    events,
    exceptions,
)
from requests_connection_manager.settings import SETTINGS, UNSET

DOCS = Path(__file__).resolve().parents[2] / "docs"


def rows(page: str, first_column: str) -> List[List[str]]:
    """Return the body rows of all tables of a page whose first column has that title."""
    found: List[List[str]] = []
    inside = False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == first_column:
            inside = True
        elif inside and set(line) - set("|- "):
            found.append(cells)
    return found


def parameters(cls: type) -> Dict[str, Any]:
    signature = inspect.signature(cls)
    return {
        name: one.default
        for name, one in signature.parameters.items()
        if one.kind is not one.VAR_KEYWORD
    }


SETTING_ROWS = {row[0].strip("`"): row for row in rows("configuration.md", "setting")}
PARAMETER_ROWS = {row[0].strip("`"): row for row in rows("configuration.md", "parameter")}


def test_every_setting_has_a_row() -> None:
    assert set(SETTING_ROWS) == set(SETTINGS)


def test_every_parameter_has_a_row() -> None:
    documented = {*SETTING_ROWS, *PARAMETER_ROWS}
    assert documented == set(parameters(ConnectionManager))


def test_parameters_of_the_asynchronous_manager_are_named() -> None:
    beyond = set(parameters(AsyncConnectionManager)) - set(parameters(ConnectionManager))
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert not [name for name in beyond if f"`{name}`" not in text]


def test_defaults_of_the_asynchronous_manager_alone_are_as_documented() -> None:
    shown = rows("configuration.md", "asynchronous parameter")
    assert [row[0] for row in shown] == ["`http_backend`"]
    for row in shown:
        default = parameters(AsyncConnectionManager)[row[0].strip("`")]
        assert ast.literal_eval(row[1].strip("`")) == default


def test_both_managers_have_the_same_defaults() -> None:
    theirs = parameters(AsyncConnectionManager)
    for name, default in parameters(ConnectionManager).items():
        assert theirs[name] == default, name


@pytest.mark.parametrize("name", [*SETTING_ROWS, *PARAMETER_ROWS])
def test_default_is_as_documented(name: str) -> None:
    shown = (SETTING_ROWS.get(name) or PARAMETER_ROWS[name])[1].strip("`")
    default = parameters(ConnectionManager)[name]
    if default is UNSET:
        assert (name, shown) == ("retry_budget", "RetryBudget()")
    elif isinstance(default, frozenset):
        assert shown == (", ".join(map(str, sorted(default))) or "frozenset()")
    else:
        assert ast.literal_eval(shown) == default


@pytest.mark.parametrize("name", SETTING_ROWS)
def test_levels_are_as_documented(name: str) -> None:
    levels = set(SETTINGS[name].levels)
    if name in ("auth", "headers"):
        levels.add("manager")  # parameters of the constructor, and of the session or client
    shown = [mark for mark, level in zip("MEC", ("manager", "endpoint", "call")) if level in levels]
    assert SETTING_ROWS[name][2].split() == shown


def test_patterns_of_the_table_are_patterns() -> None:
    manager = ConnectionManager()
    cells = [row[0].strip("`") for row in rows("configuration.md", "pattern")]
    assert len(cells) == 7
    for cell in cells:
        regex = re.fullmatch(r're\.compile\(r"(.*)"\)', cell)
        manager.add_endpoint_config(re.compile(regex.group(1)) if regex else cell, {})


def test_every_event_is_documented() -> None:
    named = {row[0].strip("`") for row in rows("advanced-features.md", "event")}
    assert named == {kind.__name__ for kind in events.EVENT_TYPES}


def test_every_error_is_documented() -> None:
    text = (DOCS / "advanced-features.md").read_text(encoding="utf-8")
    assert not [
        name
        for name, one in vars(exceptions).items()
        if isinstance(one, type) and issubclass(one, Exception) and name not in text
    ]


def test_every_public_name_is_in_the_reference() -> None:
    text = (DOCS / "api-reference.md").read_text(encoding="utf-8")
    missing = [name for name in package.__all__ if not re.search(rf"\b{re.escape(name)}\b", text)]
    assert not missing
