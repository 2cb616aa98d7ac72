"""A connector at work: ``python examples/acme_demo.py``.

It talks to a local stand-in of the API in ``acme/api.py``. The waits are virtual, so they cost no
time. Ends with exit code 1 if something was not as it should be.
"""

from __future__ import annotations

import io
import sys
from decimal import Decimal

from acme import AcmeConnector
from acme.api import AcmeApi

from requests_connection_manager import HTTPError
from requests_connection_manager.testing import VirtualClock, reply


def main() -> None:
    clock = VirtualClock()
    with AcmeApi(now=clock.monotonic) as api, AcmeConnector(
        api.client_id, api.client_secret, base_url=api.base_url, clock=clock
    ) as acme:
        status = acme.status()
        print(f"{status}, after {len(clock.sleeps)} retries and {clock.monotonic():.0f} s of waits")

        print("users by page number:", ", ".join(user.name for user in acme.users(per_page=2)))
        print("orders by cursor:    ", sum(order.total for order in acme.orders(limit=2)), "in all")
        print("uploads by Link:     ", ", ".join(one.name for one in acme.uploads(per_page=2)))

        api.server.route("/v1/uploads", reply(503), api.answer)
        print("sent again, stored once:", acme.upload(io.BytesIO(b"a;b\n" * 1000), "big.csv").size)

        api.revoke_tokens()
        print("with a new token:", acme.create_order(2, Decimal("12.50")))

        try:
            acme.user(99)
        except HTTPError as error:
            print("no such user:", error.status_code)

        counts = (api.server.count("/oauth/token"), len(api.uploads), len(api.orders))
        if counts != (2, 4, 6) or clock.sleeps[:2] != (2.0, 2.0):
            sys.exit(f"acme_demo failed: {counts}, {clock.sleeps}")


if __name__ == "__main__":
    main()
