"""A vendor's client with resources, for two worlds: a model to copy.

``client`` is what a program uses, with every operation described once; ``models`` is what it
returns. ``operations`` is what such descriptions are made of, the same for any API. ``api`` is the
vendor's API itself, small and local, for the demo and the tests. Needs the extra ``pydantic``.
"""

from __future__ import annotations

from .client import AsyncShop, OutOfPrint, Shop
from .models import Order, Page, Picture, User

__all__ = ["AsyncShop", "Order", "OutOfPrint", "Page", "Picture", "Shop", "User"]
