"""One package in place of the glue around requests and httpx.

Names only: what each is, its own module says. The asynchronous side and everything that it needs
is loaded when its first name is used.
"""

from __future__ import annotations

from .manager import ConnectionManager
