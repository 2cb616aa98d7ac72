"""Optional packages: loaded, or an error that names the extra."""

from __future__ import annotations

import json
import sys

import pytest

from requests_connection_manager import extras


def test_an_installed_module_is_returned():
    assert extras.load("json", extra="json") is json


def test_a_missing_package_names_its_extra():
    with pytest.raises(ImportError) as caught:
        extras.load("no_such_package", extra="nothing")
    assert type(caught.value) is ImportError
    assert "pip install 'requests-connection-manager[nothing]'" in str(caught.value)
    assert "no_such_package" in str(caught.value)
    assert caught.value.name == "no_such_package"


def test_a_module_of_a_missing_package_names_the_package():
    with pytest.raises(ImportError, match="needs no_such_package,") as caught:
        extras.load("no_such_package.inner.part", extra="nothing")
    assert caught.value.name == "no_such_package"


def test_a_package_that_is_switched_off_counts_as_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "no_such_package", None)
    with pytest.raises(ImportError, match=r"\[nothing\]"):
        extras.load("no_such_package", extra="nothing")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import what_it_needs", ModuleNotFoundError),
        ("from json import nothing_of_this_name", ImportError),
        ("raise ImportError", ImportError),
        ("raise ModuleNotFoundError", ModuleNotFoundError),
        ("1 / 0", ZeroDivisionError),
    ],
)
def test_what_goes_wrong_inside_a_module_is_raised_as_it_is(tmp_path, monkeypatch, source, error):
    (tmp_path / "broken_package.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(error) as caught:
        extras.load("broken_package", extra="broken")
    assert type(caught.value) is error
    assert "broken]" not in str(caught.value)
