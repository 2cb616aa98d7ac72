"""A connector for the API of a made-up vendor, complete: a model to copy.

``connector`` is what a program uses, ``auth`` how it gets its token, ``models`` what it returns.
``api`` is the vendor's API itself, small and local, for the demo and the tests.
"""

from __future__ import annotations

from .connector import AcmeConnector
from .models import Order, Status, Upload, User

__all__ = ["AcmeConnector", "Order", "Status", "Upload", "User"]
