"""The document "APIConnector", walked name by name, and its examples as they are printed.

An example is text here; only the import path is ours. Delays, live changes and the ways in which
people extend the class are in ``test_connector.py``.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
from typing import Any, Dict, List

import pytest
import requests
from printed import run_printed

from requests_connection_manager import HTTPError, MaxRetriesExceeded
from requests_connection_manager.connector import APIConnector
from requests_connection_manager.testing import FaultServer, VirtualClock, echo, reply

ATTRIBUTES: Dict[str, Any] = {
    "max_retries": 0,
    "backoff_factor": 1,
    "status_forcelist": [408, 413, 429, 500, 502, 503, 504, 521, 522, 524],
    "allowed_methods": ["HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH"],
    "raise_on_status": False,
}


def ours(code: str) -> str:
    # One of the examples has "connection" where the others have "connector".
    code = code.replace("api_toolkit.connection ", "api_toolkit.connector ")
    return code.replace("api_toolkit.connector", "requests_connection_manager.connector")


# -- names


def test_the_module_and_the_class() -> None:
    home = importlib.import_module("requests_connection_manager.connector")
    assert home.__all__ == ["APIConnector"]
    assert APIConnector.__module__ == home.__name__
    assert inspect.getdoc(APIConnector)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_has_the_documented_default_and_type(name: str) -> None:
    wanted = ATTRIBUTES[name]
    for owner in (APIConnector, APIConnector()):
        assert getattr(owner, name) == wanted
        assert isinstance(getattr(owner, name), type(wanted))


@pytest.mark.parametrize("name", ["get_retry_settings", "set_retry_settings"])
def test_a_method_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(APIConnector, name))


def test_the_retry_settings_are_parameters_of_the_constructor_and_of_the_setter() -> None:
    setter = list(inspect.signature(APIConnector.set_retry_settings).parameters)
    assert setter == ["self", *ATTRIBUTES]
    constructor = inspect.signature(APIConnector).parameters
    assert set(ATTRIBUTES) <= set(constructor)
    assert not [
        one for one in constructor.values() if one.kind is one.POSITIONAL_ONLY
    ]  # kwargs of a subclass can carry every one


def test_the_session_is_a_session_of_requests() -> None:
    assert isinstance(APIConnector().session, requests.Session)


VERBS = ("get", "head", "options", "post", "put", "patch", "delete")


def test_each_verb_sends_its_method_below_the_base_url() -> None:
    with FaultServer() as server, APIConnector(base_url=server.url("/v1")) as connector:
        server.route("/v1/users", echo())
        for verb in VERBS:
            getattr(connector, verb)("users", headers={"X-Verb": verb})
            connector.request(verb.upper(), "users", headers={"X-Verb": verb})
        sent = [(one.method, one.path, one.headers["x-verb"]) for one in server.requests]
    assert sent == [(verb.upper(), "/v1/users", verb) for verb in VERBS for _ in range(2)]


# -- the examples

GOOGLE = """
from api_toolkit.connector import APIConnector


class CustomConnector(APIConnector):

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def get_google(self):
        return self.session.get('https://www.google.com')
"""


def test_the_custom_connector() -> None:
    with FaultServer() as server:
        server.route("/", reply(503), reply(200, body="found"))
        code = ours(GOOGLE).replace("https://www.google.com", server.url())
        connector = run_printed(code)["CustomConnector"]
        assert connector().get_google().status_code == 503
        assert connector(max_retries=1, backoff_factor=0).get_google().text == "found"


SETTINGS = """
from api_toolkit.connector import APIConnector


class CustomConnector(APIConnector):

    def __init__(self, **kwargs):
        retry_settings = {
            'max_retries': 3,
            'backoff_factor': 0.5,
            'status_forcelist': [500],
            'allowed_methods': ['GET'],
            'raise_on_status': True
        }
        super().__init__(**retry_settings)

    ...
"""


def test_the_custom_connector_with_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    monkeypatch.setattr("requests_connection_manager.core.SystemClock", lambda: clock)
    connector = run_printed(ours(SETTINGS))["CustomConnector"]()
    with FaultServer() as server, connector:
        server.route("/", reply(500))
        with pytest.raises(MaxRetriesExceeded):
            connector.session.get(server.url())
        assert clock.sleeps == (0.25, 0.5, 1.0)
        # Another method is not sent again, another status is no retry but an error.
        with pytest.raises(HTTPError):
            connector.session.post(server.url())
        server.route("/", reply(503))
        with pytest.raises(HTTPError):
            connector.session.get(server.url())
        assert server.count() == 6


CONSOLE = """
>>> from api_toolkit.connection import APIConnector
>>>
>>> a = APIConnector()
>>>
>>> a.get_retry_settings()
{'max_retries': 0, 'backoff_factor': 1, 'status_forcelist': [408, 413, 429, 500, 502, 503, 504, 521, 522, 524], 'allowed_methods': ['HEAD', 'GET', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'POST', 'PATCH'], 'raise_on_status': False}

>>> new_settings = {
...     'max_retries': 0,
...     'backoff_factor': 1,
...     'status_forcelist': [500],
...     'allowed_methods': ['PUT'],
...     'raise_on_status': False
... }
>>> a.set_retry_settings(**new_settings)
>>> a.get_retry_settings() == new_settings
True
"""  # noqa: E501  # as it is printed


def test_the_console_examples() -> None:
    report: List[str] = []
    # A doctest wants a space after each prompt, also where the line is empty.
    code = ours(CONSOLE).replace(">>>\n", ">>> \n")
    test = doctest.DocTestParser().get_doctest(code, {}, "document", None, None)
    runner = doctest.DocTestRunner()
    runner.run(test, out=report.append)
    assert runner.tries == 6
    assert not runner.failures, "".join(report)
