"""What is picked from a response, and how it becomes a model."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import traceback
import types
import uuid
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Annotated, TypedDict

from requests_connection_manager import validation
from requests_connection_manager.exceptions import ValidationError
from requests_connection_manager.validation import check_model, pick, validate


class Item(pydantic.BaseModel):
    id: int
    name: str
    active: bool = True


class Page(pydantic.BaseModel):
    items: List[Item]
    total: int


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass
class Spot:
    x: int


class Row(TypedDict):
    id: int


class Plain:
    """Nothing that pydantic knows."""


def refused(data: Any, model: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        validate(data, model)
    return caught.value


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


# -- response_key


@pytest.mark.parametrize("value", [[1], {}, None, 0, ""])
def test_pick_returns_what_is_under_the_key(value):
    assert pick({"data": value, "other": 1}, "data") == value


def test_a_missing_key_shows_those_that_there_are():
    data = {"items": [], "total": 0}
    with pytest.raises(ValidationError) as caught:
        pick(data, "data")
    assert str(caught.value) == "the response has no key 'data', only 'items', 'total'"
    assert caught.value.body is data
    assert caught.value.path == ("data",)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({}, "only {}"),
        (None, "nothing (an empty body or null)"),
        ([1, 2], "list of length 2"),
        (b"abc", "bytes of length 3"),
        (7, "but int"),
        ("<html>Oops", "the text '<html>Oops'"),
        ("data", "the text 'data'"),
        (Plain(), "but Plain"),
    ],
)
def test_what_has_no_keys_is_described(data, what):
    with pytest.raises(ValidationError) as caught:
        pick(data, "data")
    assert what in str(caught.value)
    assert caught.value.body is data


def test_a_message_about_keys_is_short_and_shows_no_values():
    data = {f"key {number} " + "x" * 1000: "a value" for number in range(1000)}
    data["password"] = "hunter2"
    with pytest.raises(ValidationError) as caught:
        pick(data, "d" * 10_000)
    assert "and 981 more" in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert "a value" not in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        pick("password=hunter2&" + "x" * 10_000, "data")
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("key", [None, 1, b"data", ["data"]])
def test_a_key_is_a_str(key):
    with pytest.raises(TypeError, match="response_key must be a str"):
        pick({"data": 1}, key)


@given(st.dictionaries(st.text() | st.integers() | st.none(), st.none()), st.text())
def test_any_keys_are_shown(data, key):
    data.pop(key, None)
    with pytest.raises(ValidationError):
        pick(data, key)


# -- models


@pytest.mark.parametrize(
    ("data", "model", "value"),
    [
        ({"id": "7", "name": "a"}, Item, Item(id=7, name="a")),
        ([{"id": 7, "name": "a"}], List[Item], [Item(id=7, name="a")]),
        ({"a": {"id": 7, "name": "a"}}, Dict[str, Item], {"a": Item(id=7, name="a")}),
        (None, Optional[Item], None),
        ({"x": 1}, Point, Point(1)),
        ({"id": "1"}, Row, {"id": 1}),
        ("12", int, 12),
        ({"a": 1}, Dict[str, Any], {"a": 1}),
        ([1, "a"], Tuple[int, str], (1, "a")),
        ("2024-05-01", datetime.date, datetime.date(2024, 5, 1)),
        ({"id": 1}, Any, {"id": 1}),
        (3, Annotated[int, pydantic.Field(gt=2)], 3),
    ],
)
def test_data_becomes_the_model(data, model, value):
    result = validate(data, model)
    assert result == value
    assert type(result) is type(value)


def test_an_instance_passes_as_it_is():
    item = Item(id=1, name="a")
    assert validate(item, Item) is item
    assert validate([item], List[Item])[0] is item


def test_a_ready_adapter_is_a_model():
    adapter = pydantic.TypeAdapter(List[Item])
    assert validate([{"id": 1, "name": "a"}], adapter) == [Item(id=1, name="a")]
    assert refused([{}], adapter).path == (0, "id")


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    id: uuid.UUID
    at: datetime.datetime
    pair: Tuple[int, int]


def test_a_strict_model_accepts_what_json_can_say():
    data = {"id": str(uuid.UUID(int=1)), "at": "2024-05-01T10:00:00Z", "pair": [1, 2]}
    assert validate(data, Strict).pair == (1, 2)
    error = refused({**data, "pair": ["1", 2]}, Strict)
    assert "pair" in str(error)


def test_what_json_cannot_say_gets_the_first_error():
    error = refused({"id": Plain(), "name": "a"}, Item)
    assert error.path == ("id",)
    loop: List[Any] = []
    loop.append(loop)
    assert refused(loop, List[int]).body is loop


# -- what is wrong


def test_an_error_names_model_fields_and_what_is_wrong():
    data = {"items": [{"id": 1, "name": "a"}, {"id": "x", "name": "b"}]}
    error = refused(data, Page)
    assert str(error).startswith("the response is no Page: items[1].id: Input should be a valid")
    assert "total: Field required" in str(error)
    assert error.path == ("items", 1, "id")
    assert error.body is data
    assert isinstance(error.__cause__, pydantic.ValidationError)
    assert error.__cause__.error_count() == 2
    assert error.__cause__.errors()[0]["loc"] == ("items", 1, "id")
    assert error.__cause__.errors()[0]["type"] == "int_parsing"


def test_an_empty_body_with_a_model_says_so():
    error = refused(None, Item)
    assert "no Item but nothing (an empty body or null)" in str(error)
    assert error.path == ()


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


Animal = Annotated[Union[Cat, Dog], pydantic.Field(discriminator="kind")]


class Account(pydantic.BaseModel):
    pin: str = ""
    words: List[str] = []

    @pydantic.field_validator("pin")
    @classmethod
    def _short(cls, pin: str) -> str:
        if len(pin) > 4:
            raise ValueError(f"{pin} is too long")
        return pin

    @pydantic.model_validator(mode="after")
    def _few(self) -> Account:
        assert len(self.words) < 2, f"too many: {self.words}"
        return self


def custom(value: Any) -> Any:
    from pydantic_core import PydanticCustomError

    raise PydanticCustomError("odd", "{value} is odd {{}} {", {"value": value})


SECRET = "S3cr3t-V4lue"


@pytest.mark.parametrize(
    ("data", "model"),
    [
        ({"id": SECRET, "name": "a"}, Item),
        ({"id": 1, "name": ["a", SECRET]}, Item),
        (SECRET, Item),
        (SECRET, int),
        ({"kind": SECRET}, Animal),
        ({"pin": SECRET}, Account),
        ({"words": ["a", SECRET]}, Account),
        (SECRET, Annotated[str, pydantic.AfterValidator(custom)]),
        ([{"deep": [SECRET]}], List[Annotated[Any, pydantic.AfterValidator(custom)]]),
        (SECRET, Literal["a", "b"]),
        (SECRET, datetime.datetime),
        ([SECRET] * 100, List[int]),
    ],
)
def test_no_value_is_shown_not_in_a_traceback_either(data, model):
    error = refused(data, model)
    assert SECRET not in str(error)
    assert SECRET not in repr(error)
    assert SECRET not in shown(error)
    assert SECRET not in repr(error.__cause__)
    assert error.__context__ is None  # pydantic's own error would show it
    assert error.body is data


def test_an_error_is_short_whatever_came():
    assert len(str(refused(["x"] * 10_000, List[int]))) < 2000
    assert "and 9995 more" in str(refused(["x"] * 10_000, List[int]))
    assert len(str(refused({"k" * 10_000: "x"}, Dict[str, int]))) < 500


def test_values_nested_as_deep_as_json_can_be_are_no_trouble():
    deep: Any = SECRET
    for _ in range(5000):
        deep = [deep]

    def odd(value: Any) -> Any:
        raise ValueError("odd")

    error = refused({"deep": deep}, Dict[str, Annotated[Any, pydantic.AfterValidator(odd)]])
    assert str(error).endswith("deep: Value error, odd")


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_data_is_validated_or_refused(data):
    try:
        found = validate(data, List[int])
    except ValidationError as error:
        found = error.body
    assert found == data or all(isinstance(item, int) for item in found)


# -- wrong models


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Plain, "Plain"),
        (List[Plain], "Plain"),
        (Item(id=1, name=SECRET), "an object of type Item"),
        ([SECRET], "an object of type list"),
        ({SECRET: 1}, "an object of type dict"),
        (5, "an object of type int"),
        (Plain(), "an object of type Plain"),
        (List["NoSuchName"], "NoSuchName"),  # noqa: F821  # undefined on purpose
    ],
)
def test_a_wrong_model_is_a_type_error_that_names_it(model, name):
    with pytest.raises(TypeError, match="model must be a type") as caught:
        validate({}, model)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert SECRET not in shown(caught.value)


def test_a_model_may_be_completed_later():
    class Early(pydantic.BaseModel):
        late: Later  # noqa: F821  # undefined on purpose

    with pytest.raises(TypeError, match="Early"):
        validate({"late": 1}, Early)
    Early.model_rebuild(_types_namespace={"Later": int})
    assert validate({"late": "1"}, Early).late == 1


# -- the cache


def test_adapters_are_kept(monkeypatch):
    built = []
    adapter = pydantic.TypeAdapter

    class Counting(adapter):  # type: ignore[misc, valid-type]  # a class made at run time
        def __init__(self, model: Any) -> None:
            built.append(model)
            super().__init__(model)

    monkeypatch.setattr(pydantic, "TypeAdapter", Counting)

    class Own(pydantic.BaseModel):
        id: int

    for _ in range(3):
        validate([{"id": 1}], List[Own])
    assert len(built) == 1


def test_the_cache_is_bounded():
    for number in range(300):
        assert validate("1", Annotated[int, number]) == 1
    info = validation._cached.cache_info()
    assert info.currsize <= info.maxsize <= 1000


def test_models_that_are_equal_but_not_the_same_are_told_apart():
    first, second = Union[Point, Spot], Union[Spot, Point]
    assert first == second
    assert type(validate({"x": 1}, first)) is Point
    assert type(validate({"x": 1}, second)) is Spot


def test_an_unhashable_model_works():
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]  # what Python sets beside __eq__

    model = Annotated[int, Unhashable()]
    with pytest.raises(TypeError):
        hash(model)
    assert validate("1", model) == 1
    assert refused("x", model).path == ()


# -- without pydantic


def test_a_missing_pydantic_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ImportError, match=r"pip install 'requests-connection-manager\[pydantic\]'"):
        validate({}, Item)
    assert pick({"data": 1}, "data") == 1


def test_an_old_pydantic_is_a_missing_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", types.ModuleType("pydantic"))
    with pytest.raises(ImportError, match="pydantic 2"):
        validate({}, Item)


# -- msgspec


class Line(msgspec.Struct):
    id: int
    kind: Literal["a", "b"] = "a"
    at: Optional[datetime.datetime] = None


class Order(msgspec.Struct, rename="camel"):
    order_lines: List[Line]
    counts: Dict[int, int] = {}


class Vault(msgspec.Struct):
    pin: str

    def __post_init__(self) -> None:
        if len(self.pin) > 4:
            raise ValueError(f"{self.pin} is too long")


ORDER = {"orderLines": [{"id": 1, "at": "2024-05-01T10:00:00Z"}], "counts": {"1": 2}}


def test_data_becomes_structs():
    order = validate(ORDER, Order)
    at = datetime.datetime(2024, 5, 1, 10, tzinfo=datetime.timezone.utc)
    assert order == Order([Line(1, at=at)], {1: 2})
    assert validate([{"id": 1}], List[Line]) == [Line(1)]
    assert validate({"x": {"id": 1}}, Dict[str, Optional[Line]]) == {"x": Line(1)}
    assert validate({"id": 1}, Annotated[Line, "of an order"]) == Line(1)


def test_an_instance_of_a_struct_passes_as_it_is():
    line = Line(1)
    assert validate(line, Line) is line


@pytest.mark.parametrize(
    ("data", "model", "path", "text"),
    [
        ({"id": "1"}, Line, ("id",), "no Line: id: Expected `int`, got `str`"),
        ([{"id": 1}, {}], List[Line], (1, "id"), "[1].id: Object missing required field `id`"),
        ({"orderLines": [{"id": None}]}, Order, ("orderLines", 0, "id"), "orderLines[0].id: Exp"),
        ({"orderLines": [], "counts": {"a": 1}}, Order, ("counts",), "counts: Expected `int`"),
        ({"orderLines": [], "counts": {"1": "a"}}, Order, ("counts",), "counts: Expected `int`"),
        (None, Line, (), "no Line: Expected `object`, got `null`"),
        ({"id": 1, "kind": "c"}, Line, ("kind",), "kind: Invalid enum value"),
    ],
)
def test_what_is_wrong_with_a_struct_has_its_path(data, model, path, text):
    error = refused(data, model)
    assert error.path == path
    assert text in str(error)
    assert error.body is data
    assert isinstance(error.__cause__, msgspec.ValidationError)


@pytest.mark.parametrize(
    ("data", "model"),
    [
        ({"id": 1, "kind": SECRET}, Line),
        ({"id": SECRET}, Line),
        ({"pin": SECRET}, Vault),
        ([SECRET], List[Line]),
        ({"id": 1, "at": SECRET}, Line),
    ],
)
def test_no_value_is_shown_of_what_is_no_struct(data, model):
    error = refused(data, model)
    assert SECRET not in shown(error)
    assert error.__context__ is None


def test_structs_need_no_pydantic(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", None)
    check_model(List[Line])
    assert validate({"id": 1}, Line) == Line(1)


def test_a_missing_msgspec_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(ImportError, match=r"pip install 'requests-connection-manager\[msgspec\]'"):
        validate({}, Optional[Order])


class Cut(msgspec.Struct):
    name: Missing  # type: ignore[name-defined]  # noqa: F821  # undefined on purpose


@pytest.mark.parametrize("model", [Union[Line, Order], Cut, Vault(SECRET[:4])])
def test_what_msgspec_cannot_use_is_a_type_error(model):
    with pytest.raises(TypeError, match="model must be a type that msgspec knows") as caught:
        check_model(model)
    assert SECRET[:4] not in shown(caught.value)
    with pytest.raises(TypeError, match="msgspec"):
        validate({}, model)


def test_an_unhashable_model_of_structs_works():
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]  # what Python sets beside __eq__

    assert validate({"id": 1}, Annotated[Line, Unhashable()]) == Line(1)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_data_is_a_list_of_structs_or_refused(data):
    if data == []:
        assert validate(data, List[Line]) == []
    else:
        assert refused(data, List[Line]).body is data
