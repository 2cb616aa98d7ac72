"""What ``json=`` can be, and that all serializers of ours write the same."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import pickle
import sys
import traceback
import types
import uuid
from typing import Any, Dict, List, NamedTuple, Optional

import attr
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_connection_manager.exceptions import ValidationError
from requests_connection_manager.rest.serialization import (
    JsonSerializer,
    OrjsonSerializer,
    check_serializer,
    default_serializer,
)

BOTH = [JsonSerializer(), OrjsonSerializer()]
SECRET = "S3cr3t-V4lue"
UTC = datetime.timezone.utc


@pytest.fixture(params=BOTH, ids=["json", "orjson"])
def serializer(request):
    return request.param


def sent(serializer: Any, value: Any) -> Any:
    return json.loads(serializer.dumps(value))


def refused(serializer: Any, value: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        serializer.dumps(value)
    return caught.value


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Named(str, enum.Enum):
    A = "a"


class Size(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Point:
    x: int
    at: datetime.date
    _note: str = "n"


@dataclasses.dataclass
class Slotted:
    __slots__ = ("x",)
    x: int


@attr.s(auto_attribs=True)
class Car:
    wheels: int
    owner: Any = None


class Account(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)

    account_id: uuid.UUID = pydantic.Field(alias="accountId")
    opened: datetime.datetime
    balance: decimal.Decimal = decimal.Decimal("1.10")
    tags: List[str] = []


class Tags(pydantic.RootModel[List[str]]):
    pass


class Shape(msgspec.Struct, rename="camel", tag="shape", omit_defaults=True):
    line_width: int
    note: Optional[str] = None
    inner: Any = None
    by_number: Dict[int, int] = {}


class Text(str):
    pass


class Number(float):
    pass


ID = uuid.UUID(int=7)
AT = datetime.datetime(2024, 5, 1, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(1, datetime.date(2024, 5, 1)), {"x": 1, "at": "2024-05-01", "_note": "n"}),
        (Slotted(2), {"x": 2}),
        (Car(4, Point(1, datetime.date.min)).owner, {"x": 1, "at": "0001-01-01", "_note": "n"}),
        (Car(4, Car(2)), {"wheels": 4, "owner": {"wheels": 2, "owner": None}}),
        (
            Account(account_id=ID, opened=AT),
            {
                "accountId": str(ID),
                "opened": "2024-05-01T10:30:00Z",
                "balance": "1.10",
                "tags": [],
            },
        ),
        (Tags(["a"]), ["a"]),
        (
            Shape(1, inner={"at": AT, "point": Point(1, datetime.date.min)}, by_number={1: 2}),
            {
                "type": "shape",
                "lineWidth": 1,
                "inner": {
                    "at": "2024-05-01T10:30:00Z",
                    "point": {"x": 1, "at": "0001-01-01", "_note": "n"},
                },
                "byNumber": {"1": 2},
            },
        ),
        (Shape(1, inner=Account(account_id=ID, opened=AT)).inner, None),
        (AT, "2024-05-01T10:30:00Z"),
        (AT.replace(tzinfo=None), "2024-05-01T10:30:00"),
        (
            AT.replace(microsecond=5, tzinfo=datetime.timezone(datetime.timedelta(hours=-3))),
            "2024-05-01T10:30:00.000005-03:00",
        ),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (datetime.time(1, 2), "01:02:00"),
        (datetime.time(1, 2, tzinfo=UTC), "01:02:00Z"),
        (decimal.Decimal("1234567890.12345678901234567890"), "1234567890.12345678901234567890"),
        (ID, str(ID)),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Named.A, "a"),
        (pathlib.PurePosixPath("/tmp/x"), "/tmp/x"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset(["b", "a"]), ["a", "b"]),
        ((1, "a"), [1, "a"]),
        (Size(1, 2), [1, 2]),
        (collections.deque([1]), [1]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": {1}}), {"a": [1]}),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (Text("é"), "é"),
        (Number(1.5), 1.5),
        (2**64, 2**64),
        ([-(2**63) - 1, {"a": AT}], [-(2**63) - 1, {"a": "2024-05-01T10:30:00Z"}]),
        ([None, True, "", 0.1], [None, True, "", 0.1]),
    ],
)
def test_what_is_written(serializer, value, expected):
    if isinstance(value, Account) and expected is None:
        expected = sent(serializer, Account(account_id=ID, opened=AT))
    assert sent(serializer, value) == expected
    assert sent(serializer, {"in": [value]}) == {"in": [expected]}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (1, "1"),
        (2**70, str(2**70)),
        (1.5, "1.5"),
        (1e16, "1e+16"),
        (True, "true"),
        (None, "null"),
        (Color.RED, "red"),
        (Level.HIGH, "3"),
        (Named.A, "a"),
        (ID, str(ID)),
        (AT, "2024-05-01T10:30:00Z"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (decimal.Decimal("1.10"), "1.10"),
        (Text("t"), "t"),
    ],
)
def test_keys_become_their_text(serializer, key, text):
    assert sent(serializer, {key: 1}) == {text: 1}


def test_json_is_compact_and_utf_8(serializer):
    assert serializer.dumps({"a": "ü", "b": [1, None]}) == '{"a":"ü","b":[1,null]}'.encode()
    assert serializer.content_type == "application/json"


def test_the_members_of_a_set_are_sorted_if_they_can_be(serializer):
    names = [f"name {number}" for number in range(50)]
    assert sent(serializer, set(names)) == sorted(names)
    assert sorted(sent(serializer, {1, "a"}), key=str) == [1, "a"]


# -- what is refused


class Broken(pydantic.BaseModel):
    value: Any


class Opaque:
    def __repr__(self) -> str:
        return SECRET


LOOP: List[Any] = []
LOOP.append({"again": LOOP})


@pytest.mark.parametrize(
    ("value", "path", "text"),
    [
        ({"orders": [1, 2, 3, {"price": Opaque()}]}, ("orders", 3, "price"), "of type Opaque"),
        ({"a": b"raw"}, ("a",), "bytes are not text"),
        ([bytearray(b"raw")], (0,), "bytes are not text"),
        ({"x": [0.5, math.nan]}, ("x", 1), "NaN and Infinity"),
        ({"x": math.inf}, ("x",), "NaN and Infinity"),
        ({"x": -math.inf, "y": None}, ("x",), "NaN and Infinity"),
        (decimal.Decimal("NaN"), (), "NaN and Infinity"),
        ({"x": {math.nan: 1}}, ("x",), "NaN and Infinity"),
        ({"n": (number for number in [1])}, ("n",), "generator can be read only once"),
        ({"n": iter([1])}, ("n",), "can be read only once; make a list"),
        (datetime.timedelta(1), (), "of type timedelta"),
        (Point, (), "it is the class Point, not an object of it"),
        (Account, (), "it is the class Account"),
        ([Shape], (0,), "it is the class Shape"),
        (1j, (), "of type complex"),
        ({"a": "\ud800"}, ("a",), "lone surrogate"),
        ({"a": {"\ud800": 1}}, ("a",), "lone surrogate"),
        ({(1, 2): 1}, (), "a key of type tuple"),
        ({"a": {b"k": 1}}, ("a",), "a key of type bytes"),
        (LOOP, (0, "again"), "holds itself"),
        (Broken(value=Opaque()), (), "turning its Broken into JSON raised"),
        ({"unit price": {"a" * 100: Opaque()}}, ("unit price", "a" * 100), "$['unit price']['aaa"),
        (Shape(1, inner=Opaque()), (), "of type Opaque"),
    ],
)
def test_what_is_refused_is_named_with_its_place(serializer, value, path, text):
    error = refused(serializer, value)
    assert error.path == path
    assert text in str(error)
    assert error.body is None


@pytest.mark.parametrize(
    "value",
    [
        {"password": Opaque()},
        {"a": SECRET, "b": Opaque()},
        {"a": SECRET + "\ud800"},
        {"a": SECRET.encode()},
        Broken(value=Opaque()),
        {"a": Broken(value={"deep": [Opaque()]})},
    ],
)
def test_no_value_is_shown(serializer, value):
    error = refused(serializer, value)
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert SECRET not in str(error)
    assert SECRET not in shown
    assert error.__cause__ is None
    assert error.__context__ is None


def test_nesting_has_an_end_but_a_late_one(serializer):
    deep: Any = 1
    for _ in range(400):  # orjson's own is 254
        deep = [deep]
    assert sent(serializer, deep) == deep
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in str(refused(serializer, deep))
    while isinstance(deep, list):  # to free it is recursive on some versions
        deep = deep.pop()


@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="this Python has no limit")
def test_an_integer_that_python_will_not_write(serializer):
    assert "too many digits" in str(refused(serializer, [10**5000]))


# -- types of the caller's own


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


def money(value: Any) -> Any:
    if isinstance(value, Money):
        return {"cents": value.cents}
    raise TypeError(f"no {value}")


@pytest.mark.parametrize("make", [JsonSerializer, OrjsonSerializer])
def test_a_default_adds_types(make):
    serializer = make(default=money)
    assert sent(serializer, {"price": Money(5), "n": 2**64}) == {"price": {"cents": 5}, "n": 2**64}
    assert sent(serializer, Shape(1, inner=Money(5)))["inner"] == {"cents": 5}
    error = refused(serializer, {"a": Opaque()})
    assert error.path == ("a",)
    assert SECRET not in str(error)
    with pytest.raises(TypeError, match="default must be callable"):
        make(default=3)
    assert pickle.loads(pickle.dumps(serializer)).dumps(Money(1)) == b'{"cents":1}'


@pytest.mark.parametrize("make", [JsonSerializer, OrjsonSerializer])
def test_a_default_that_does_not_help_ends(make):
    assert refused(make(default=lambda value: value), [Opaque()]).path == (0,)
    assert refused(make(default=lambda value: Opaque()), [Opaque()]).path is not None


# -- loads


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"id": 18446744073709551616}', {"id": 2**64}),
        (b"[123456789012345678901234567890]", [123456789012345678901234567890]),
        (b'"1234567890123456789012"', "1234567890123456789012"),
        (b"\xef\xbb\xbf[1]", [1]),
        ("[1]".encode("utf-16"), [1]),
        (b"1e400", math.inf),
        (b'"\\ud800"', "\ud800"),
        (b"", None),
        (b"null", None),
    ],
)
def test_what_is_read(serializer, data, value):
    assert serializer.loads(data) == value


@pytest.mark.parametrize("data", [b"{", b'{"a": 1,}', b'"\xff"', b"<html>", b"[" * 100_000])
def test_what_is_no_json(serializer, data):
    with pytest.raises(ValidationError) as caught:
        serializer.loads(data)
    assert caught.value.body is not None


# -- both agree

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.uuids()
    | st.sampled_from([Color.RED, Level.HIGH, Named.A, ID, Size(1, 2)])
)
KEYS = st.text() | st.integers() | st.booleans() | st.none() | st.uuids() | st.dates()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(KEYS, inner)
        | st.tuples(inner, inner)
        | st.builds(Car, st.integers(), inner)
    ),
    max_leaves=10,
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
ANYTHING = VALUES | st.floats() | st.binary() | st.text(st.characters()) | st.complex_numbers()


@given(st.recursive(ANYTHING, st.lists, max_leaves=5))
def test_both_write_the_same_or_refuse_the_same(value):
    results = []
    for serializer in BOTH:
        try:
            results.append(sent(serializer, value))
        except ValidationError as error:
            results.append((str(error), error.path))
    assert results[0] == results[1]


@given(PLAIN)
def test_what_json_has_comes_back(value):
    if "inf" in repr(value).lower():
        value = repr(value)
    for one in BOTH:
        for other in BOTH:
            assert other.loads(one.dumps(value)) == value


@given(st.binary() | st.text("[]{}\"':,0123456789.eE-+ntrufalsINy\\ ").map(str.encode))
def test_both_read_the_same_or_refuse_the_same(data):
    results = []
    for serializer in BOTH:
        try:
            results.append(repr(serializer.loads(data)))
        except ValidationError as error:
            results.append(str(error))
    assert results[0] == results[1]


# -- which one


def test_orjson_is_used_where_it_is_installed(monkeypatch):
    default_serializer.cache_clear()
    assert type(default_serializer()) is OrjsonSerializer
    default_serializer.cache_clear()
    monkeypatch.setitem(sys.modules, "orjson", None)
    try:
        assert type(default_serializer()) is JsonSerializer
        with pytest.raises(ImportError, match=r"requests-connection-manager\[orjson\]"):
            OrjsonSerializer()
    finally:
        default_serializer.cache_clear()


class Packed:
    """MessagePack, as a user would plug it in."""

    content_type = "application/msgpack"

    def dumps(self, value: Any) -> bytes:
        return msgspec.msgpack.encode(value)

    def loads(self, data: bytes) -> Any:
        return msgspec.msgpack.decode(data)


def test_a_serializer_is_anything_with_the_three():
    packed = Packed()
    assert check_serializer(packed) is packed
    for one in BOTH:
        assert check_serializer(one) is one


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (None, TypeError, "not a NoneType"),
        ("json", TypeError, "not a str"),
        (json, TypeError, "content_type, dumps"),
        (JsonSerializer, TypeError, r"not the class: JsonSerializer\(\)"),
        (type("S", (Packed,), {"dumps": None})(), TypeError, "not a S"),
        (type("S", (Packed,), {"content_type": "json"})(), ValueError, "media type"),
        (type("S", (Packed,), {"content_type": "a/b\r\nX: y"})(), ValueError, "media type"),
        (type("S", (Packed,), {"content_type": "a/b\n;x=y"})(), ValueError, "media type"),
    ],
)
def test_what_is_no_serializer(value, error, text):
    with pytest.raises(error, match=text):
        check_serializer(value)
