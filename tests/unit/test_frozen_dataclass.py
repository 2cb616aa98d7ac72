"""Our frozen dataclasses behave like those of the standard library, beside which they stand."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
from typing import Any, Dict, Generic, List, Optional, Tuple, TypeVar

import pytest

from requests_connection_manager import _frozen_dataclass as ours
from requests_connection_manager.events import EVENT_TYPES, AttemptFinished, AttemptStarted, Event
from requests_connection_manager.settings import Settings

T = TypeVar("T")


def family(kind: Any) -> Any:
    """Return classes of one of the two kinds, with the same names."""
    dataclass, field = kind.dataclass, kind.field

    @dataclass(frozen=True)
    class Point:
        """A point."""

        x: int
        y: int = 2
        tags: Dict[str, str] = field(default_factory=dict, compare=False, repr=False)
        note: Optional[str] = field(default=None, compare=False)

        @property
        def sum(self) -> int:
            return self.x + self.y

    @dataclass(frozen=True)
    class Deep(Point):
        y: int = 5
        z: Tuple[int, ...] = ()

    @dataclass(frozen=True)
    class Bare(Deep):
        pass

    @dataclass(frozen=True, repr=False)
    class Quiet(Point):
        def __repr__(self) -> str:
            return "Quiet"

        def __eq__(self, other: object) -> bool:
            return other == "quiet"

    @dataclass(frozen=True)
    class Box(Generic[T]):
        content: T

    class Plain(Point):
        """No dataclass itself."""

    class Building(Point):
        def __init__(self, text: str) -> None:
            super().__init__(len(text), note=text)

    @dataclasses.dataclass(frozen=True)
    class Standard(Point):  # type: ignore[misc]  # the checker doesn't see that Point is one
        extra: int = 7

    found = [Point, Deep, Bare, Quiet, Box, Plain, Building, Standard]
    for cls in found:
        cls.__qualname__ = cls.__name__
    return {cls.__name__: cls for cls in found}


STANDARD, OURS = family(dataclasses), family(ours)

# Each line gives the same with both, or fails with the same error.
EXPRESSIONS = [
    "Point(1)",
    "Point(1, 3, {'a': 'b'}, 'n')",
    "Point(y=1, x=2).note",
    "Point(1, note='n')",
    "vars(Point(note='n', x=3))",
    "list(vars(Point(note='n', x=3)))",
    "Point()",
    "Point(1, 2, {}, None, 5)",
    "Point(1, x=1)",
    "Point(1, w=1)",
    "Point(1).tags is Point(1).tags",
    "Point(1, tags={'a': 'b'}) == Point(1)",
    "Point(1) == Point(2)",
    "Point(1) != Point(1)",
    "Point(1) == (1, 2)",
    "Point(1).__eq__(1)",
    "Point(1) < Point(2)",
    "hash(Point(1)) == hash(Point(1, note='n'))",
    "hash(Point(1)), hash(Deep(1))",
    "hash(Point([]))",
    "hash(Quiet(1))",
    "{Point(1): 1}[Point(1)]",
    "Point.y, Point.note, Point(1).sum",
    "Point.tags",
    "Point.x",
    "Deep(1), Deep(1, 2, {}, None, (1,)).z",
    "Deep(1) == Point(1, 5)",
    "Bare(1), Bare(1) == Deep(1)",
    "Quiet(1), Quiet(1) == 'quiet', Quiet(1).x",
    "Box(3), Box[int](3)",
    "Plain(1), Plain(1) == Plain(1), Plain(1) == Point(1)",
    "Building('abc'), Building('abc').note",
    "Standard(1), Standard(1, extra=8).extra, Standard(1) == Standard(1)",
    "Standard()",
    "setattr(Point(1), 'x', 2)",
    "setattr(Point(1), 'unknown', 2)",
    "setattr(Plain(1), 'x', 2)",
    "setattr(Plain(1), 'unknown', 2)",
    "setattr(Deep(1), 'unknown', 2)",
    "setattr(Standard(1), 'extra', 2)",
    "delattr(Point(1), 'x')",
    "delattr(Point(1), 'unknown')",
    "delattr(Plain(1), 'x')",
    "delattr(Plain(1), 'unknown')",
    "replace(Point(1, tags={'a': 'b'}), y=4)",
    "replace(Point(1), unknown=4)",
    "replace(Deep(1), z=(1,))",
    "replace(Standard(1), extra=3)",
    "asdict(Deep(1, 2, {'a': 'b'}))",
    "astuple(Deep(1, 2, {'a': 'b'}))",
    "asdict(Standard(1))",
    "[(one.name, one.type, one.repr, one.compare, one.init) for one in fields(Point)]",
    "[(one.name, one.default is MISSING, one.default_factory) for one in fields(Deep)]",
    "[one.name for one in fields(Standard(1))]",
    "[one.name for one in fields(Plain)]",
    "is_dataclass(Point), is_dataclass(Point(1)), is_dataclass(Plain), is_dataclass(int)",
    "Point.__dataclass_params__.frozen, Point.__dataclass_params__.eq",
    "str(signature(Point)), str(signature(Deep))",
    "str(signature(Building)), str(signature(Standard))",
    "Point.__doc__, Point.__name__",
    "copy(Point(1, tags={'a': 'b'})), copy(Point(1)) == Point(1)",
    "deepcopy(Deep(1, 2, {'a': 'b'}))",
    "sorted(vars(Point(1)))",
    "isinstance(Deep(1), Point), issubclass(Bare, Deep)",
]
if sys.version_info >= (3, 10):
    EXPRESSIONS += ["Point.__match_args__, Deep.__match_args__, Plain.__match_args__"]
if sys.version_info >= (3, 13):
    EXPRESSIONS += ["copy_replace(Point(1), y=3)", "copy_replace(Point(1), unknown=3)"]

NAMES: Dict[str, Any] = {
    **{name: getattr(dataclasses, name) for name in dataclasses.__all__},
    "signature": inspect.signature,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "copy_replace": getattr(copy, "replace", None),
}


def came_to(expression: str, classes: Dict[str, Any]) -> Tuple[str, str]:
    try:
        return "value", repr(eval(expression, {**NAMES, **classes}))
    except Exception as exc:
        return type(exc).__name__, str(exc).replace("family.<locals>.", "")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_both_come_to_the_same(expression: str) -> None:
    assert came_to(expression, OURS) == came_to(expression, STANDARD)


def test_a_frozen_field_raises_the_standard_error() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        OURS["Point"](1).x = 2


def test_an_object_that_contains_itself_is_shown() -> None:
    inside: List[Any] = []
    one = OURS["Box"](inside)
    inside.append(one)
    assert repr(one) == "Box(content=[...])"


def test_only_frozen_ones_are_made() -> None:
    with pytest.raises(TypeError, match="frozen must be True, not False"):
        ours.dataclass(frozen=False)  # type: ignore[call-overload, unused-ignore]


def test_events_are_dataclasses() -> None:
    kinds: List[Any] = [Event, *EVENT_TYPES]
    assert all(map(dataclasses.is_dataclass, kinds))
    for kind in kinds:
        assert [one.name for one in dataclasses.fields(kind)][:3] == ["scope", "method", "url"]
        assert list(inspect.signature(kind).parameters)[:3] == ["scope", "method", "url"]
    event = AttemptFinished("s", "GET", "u", 1, 200, None, False, 0.5, 0.0)
    assert dataclasses.asdict(event)["elapsed"] == 0.5
    assert dataclasses.replace(event, status=503).status == 503
    assert {event, pickle.loads(pickle.dumps(event)), copy.deepcopy(event)} == {event}
    with pytest.raises(AttributeError, match="cannot assign to field 'status'"):
        event.status = 404  # type: ignore[misc]  # what is tested


def test_the_headers_of_each_attempt_are_its_own() -> None:
    one, other = (AttemptStarted("s", "GET", "u", number) for number in (1, 1))
    one.headers["traceparent"] = "00"
    assert other.headers == {}
    assert one == other
    assert "headers" not in repr(one)


def test_settings_are_a_dataclass() -> None:
    known = [one.name for one in dataclasses.fields(Settings)]
    assert list(vars(Settings(timeout=3, max_retries=1))) == known
    assert dataclasses.replace(Settings(), timeout=3) == Settings(timeout=3)
    assert Settings().merged({"timeout": 3, "bearer_token": "t"}) == Settings(timeout=3)
    assert pickle.loads(pickle.dumps(Settings(timeout=3))) == Settings(timeout=3)
