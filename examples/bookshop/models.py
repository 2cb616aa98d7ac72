"""What the bookshop returns, as values with types."""

# The annotations are no texts: pydantic 2.5 would look for their names elsewhere.
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, List, Optional, TypeVar

M = TypeVar("M")


@dataclass(frozen=True)
class User:
    """A customer."""

    id: int
    name: str
    email: Optional[str] = None
    """Since version 2 of the API."""


@dataclass(frozen=True)
class Order:
    """What a customer has bought."""

    id: str
    user_id: int
    book: str
    total: Decimal
    placed: datetime


@dataclass(frozen=True)
class Picture:
    """The picture of a customer, as it arrived."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Page(Generic[M]):
    """Part of a list."""

    items: List[M]
    next_cursor: Optional[str] = None
