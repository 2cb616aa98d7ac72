"""Who puts the URL in the place of the method finds no secret of it in events and messages."""

from __future__ import annotations

import logging
from contextlib import suppress

from requests_connection_manager import AttemptFinished, AttemptStarted
from requests_connection_manager.testing import reply

METHOD = "https://user:s3cret@api.test/?token=s3cret"
SHOWN = "https://[REDACTED]@api.test/?token=[REDACTED]"


def test_a_url_for_a_method(driver, server, caplog):
    caplog.set_level(logging.DEBUG, "requests_connection_manager")
    server.route("/", reply(200))
    manager = driver.manager(max_retries=0)
    # Each library finds out in its own way, if at all.
    with suppress(ValueError, driver.errors.base):
        manager.request(METHOD, server.url("/"))
    attempts = [one for one in manager.seen if isinstance(one, (AttemptStarted, AttemptFinished))]
    assert len(attempts) == 2
    assert {event.method.lower() for event in manager.seen} == {SHOWN.lower()}
    assert "s3cret" not in caplog.text.lower()
