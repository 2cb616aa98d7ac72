"""What code that calls HTTP services is tested with: a virtual clock and a server that fails.

Names only. ``VirtualClock`` makes waits instant; ``FaultServer`` is a real server on a loopback
port that answers by script: well, badly, late or not at all. Nothing here needs the rest of the
package, requests or httpx, so it also tests other clients.

>>> import http.client
>>> from requests_connection_manager.testing import FaultServer, redirect, reply
>>> with FaultServer() as server:
...     server.route("/old", redirect("/new"))
...     server.route("/new", reply(200, json={"id": 7}))
...     client = http.client.HTTPConnection(server.host, server.port)
...     client.request("GET", "/old")
...     print(client.getresponse().headers["Location"])
...     client.close()
/new
"""

from __future__ import annotations

from .clock import VirtualClock
from .replies import (
    Action,
    Answer,
    Ending,
    Headers,
    Received,
    Reply,
    close_delimited,
    dies_while_idle,
    disconnect,
    drip,
    echo,
    garbage,
    gzip,
    redirect,
    reply,
    reset,
    sink,
    sized,
    slow_body,
    truncate,
    truncated_chunks,
)
from .server import FaultServer, blackhole, dead_origin

__all__ = [
    "Action",
    "Answer",
    "Ending",
    "FaultServer",
    "Headers",
    "Received",
    "Reply",
    "VirtualClock",
    "blackhole",
    "close_delimited",
    "dead_origin",
    "dies_while_idle",
    "disconnect",
    "drip",
    "echo",
    "garbage",
    "gzip",
    "redirect",
    "reply",
    "reset",
    "sink",
    "sized",
    "slow_body",
    "truncate",
    "truncated_chunks",
]
