"""The arguments of a task as a payload, and back: which annotations are converted, and what errors say."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar
from uuid import UUID

import pydantic
import pytest

from steve._model.arguments import Arguments, NotDecodable

if typing.TYPE_CHECKING:
    from decimal import Context as OnlyForTypes

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1


class Word(StrEnum):
    ONE = "one"


class Rights(Flag):
    READ = auto()
    WRITE = auto()


class Shape(Enum):
    SQUARE = (1, 1)


@dataclass(frozen=True)
class Item:
    name: str
    price: Decimal
    colours: list[Colour] = field(default_factory=list)


@dataclass
class Order:
    id: UUID
    items: tuple[Item, ...]
    at: datetime | None = None
    total: Decimal = field(init=False)

    def __post_init__(self) -> None:
        self.total = sum((item.price for item in self.items), Decimal(0))


@dataclass(frozen=True)
class Special(Item):
    pass


@dataclass
class Tree:
    at: date
    branches: list[Tree]


class Picky:
    pass


@dataclass
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"not positive: {self.number}")


class Point(NamedTuple):
    x: Decimal
    y: Decimal = Decimal(0)


class Movie(TypedDict):
    title: str
    seen: NotRequired[date]


class Model(pydantic.BaseModel):
    at: datetime
    amount: Decimal = Decimal(1)
    url: str = pydantic.Field(default="", alias="theUrl")


class SubModel(Model):
    pass


Amount = NewType("Amount", Decimal)
ID = UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime(2026, 1, 2, 12, 30, 0, 5, UTC)


def of(annotation: Any, *default: Any) -> Arguments:
    """The arguments of a function with one parameter, `x`."""

    def function(x: Any) -> None: ...

    function.__annotations__ = {"x": annotation}
    function.__defaults__ = default or None
    return Arguments(function, "shop.f")


ROUND_TRIPS: list[tuple[Any, Any, Any]] = [
    (int, 5, 5),
    (str, "a", "a"),
    (float, 1.5, 1.5),
    (bool, True, True),
    (None, None, None),
    (Any, {"a": [1]}, {"a": [1]}),
    (object, 1, 1),
    (T, 1, 1),
    (dict, {"a": 1}, {"a": 1}),
    (list[int], [1], [1]),
    (Sequence[int], [1], [1]),
    (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
    (int | str | None, "a", "a"),
    (Literal["a", 1], "a", "a"),
    (datetime, NOON, "2026-01-02T12:30:00.000005+00:00"),
    (datetime, NOON.replace(tzinfo=None), "2026-01-02T12:30:00.000005"),
    (datetime, NOON.replace(tzinfo=timezone(timedelta(hours=2))), "2026-01-02T12:30:00.000005+02:00"),
    (date, NOON.date(), "2026-01-02"),
    (time, time(1, 2), "01:02:00"),
    (timedelta, timedelta(days=1, microseconds=1), 86400.000001),
    (UUID, ID, str(ID)),
    (Decimal, Decimal("1.10"), "1.10"),
    (Decimal, Decimal("1E+30"), "1E+30"),
    (Amount, Decimal("1.10"), "1.10"),
    (Annotated[Decimal, {"unhashable": []}], Decimal(1), "1"),
    (Colour, Colour.RED, "red"),
    (Literal[Colour.RED], Colour.RED, "red"),
    (Literal[Colour.RED, None], None, None),
    (Size, Size.SMALL, 1),
    (Word, Word.ONE, "one"),
    (Rights, Rights.READ | Rights.WRITE, 3),
    (Shape, Shape.SQUARE, "SQUARE"),
    (Optional[UUID], ID, str(ID)),  # noqa: UP045 - it is another object than UUID | None
    (UUID | None, None, None),
    (list[UUID], [ID], [str(ID)]),
    (Iterable[date | None], [NOON.date(), None], ["2026-01-02", None]),
    (tuple, (1, 2), [1, 2]),
    (tuple[int, ...], (1, 2), [1, 2]),
    (tuple[int, date], (1, NOON.date()), [1, "2026-01-02"]),
    (tuple[()], (), []),
    (set[int], {1}, [1]),
    (set[Colour], {Colour.RED}, ["red"]),
    (frozenset[int], frozenset({1}), [1]),
    (AbstractSet[UUID], frozenset({ID}), [str(ID)]),
    (dict[str, date], {"a": NOON.date()}, {"a": "2026-01-02"}),
    (Mapping[date, int], {NOON.date(): 1}, {"2026-01-02": 1}),
    (dict[int, Decimal], {1: Decimal(2)}, {"1": "2"}),
    (dict[UUID, set[int]], {ID: {1}}, {str(ID): [1]}),
    (Item, Item("a", Decimal("1.50")), {"name": "a", "price": "1.50", "colours": []}),
    (
        Order,
        Order(ID, (Item("a", Decimal(1), [Colour.BLUE]),)),
        {"id": str(ID), "items": [{"name": "a", "price": "1", "colours": ["blue"]}], "at": None},
    ),
    (
        Tree,
        Tree(NOON.date(), [Tree(NOON.date(), [])]),
        {"at": "2026-01-02", "branches": [{"at": "2026-01-02", "branches": []}]},
    ),
    (Point, Point(Decimal(1)), {"x": "1", "y": "0"}),
    (Movie, {"title": "M"}, {"title": "M"}),
    (Movie, {"title": "M", "seen": NOON.date(), "more": 1}, {"title": "M", "seen": "2026-01-02", "more": 1}),
    (Model, Model(at=NOON, theUrl="u"), {"at": "2026-01-02T12:30:00.000005Z", "amount": "1", "theUrl": "u"}),
    (list[Model], [Model(at=NOON)], [{"at": "2026-01-02T12:30:00.000005Z", "amount": "1", "theUrl": ""}]),
]


@pytest.mark.parametrize(("annotation", "value", "encoded"), ROUND_TRIPS, ids=[str(one[:2]) for one in ROUND_TRIPS])
def test_a_value_comes_back_as_it_was(annotation: Any, value: Any, encoded: Any) -> None:
    arguments = of(annotation)
    payload = arguments.encode((value,), {})
    assert payload == {"x": encoded}
    ((found,), keywords) = arguments.decode(json.loads(json.dumps(payload)))
    assert (found, type(found), keywords) == (value, type(value), {})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement `type` is new in Python 3.12")
def test_the_statement_type_is_looked_through() -> None:
    namespace: dict[str, Any] = {"Decimal": Decimal}
    exec("type Amount = Decimal | None", namespace)
    assert of(namespace["Amount"]).encode((Decimal(1),), {}) == {"x": "1"}


WRONG: list[tuple[Any, Any, str]] = [
    (datetime, "2026-01-02", "x is a str, not a datetime"),
    (date, NOON, "x is a datetime, not a date"),
    (Decimal, 5, "x is an int, not a Decimal"),
    (UUID, None, "x is a NoneType, not a UUID"),
    (Colour, "red", "x is a str, not a Colour"),
    (Item, Special("a", Decimal(1)), "x is a Special, not an Item"),
    (Item, Item("a", "1"), 'x["price"] is a str, not a Decimal'),  # type: ignore[arg-type]
    (list[Item], [Item("a", Decimal(1)), None], "x[1] is a NoneType, not an Item"),
    (list[date], "2026", "x is a str, not a list"),
    (set[int], {"a": 1}, "x is a dict, not a list"),
    (tuple[int, int], (1, 2, 3), "x has 3 items, not 2"),
    (tuple[int, int], "ab", "x is a str, not a tuple"),
    (dict[str, date], [1], "x is a list, not a dict"),
    (dict[str, date], {"a": 1}, 'x["a"] is an int, not a date'),
    (dict[int, int], {"a": 1}, 'x["a"] is a str, not an int'),
    (Movie, ["title"], "x is a list, not a dict"),
    (Model, {"at": NOON}, "x is a dict, not a Model"),
    (Model, SubModel(at=NOON), "x is a SubModel, not a Model"),
    (Point, (1, 2), "x is a tuple, not a Point"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), WRONG, ids=[one[2] for one in WRONG])
def test_a_value_of_another_type_is_a_type_error_that_names_its_place(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(TypeError) as raised:
        of(annotation).encode((value,), {})
    assert str(raised.value) == f"shop.f: {message}"


UNDECODABLE: list[tuple[Any, Any, str]] = [
    (datetime, "secret", "x does not hold a datetime"),
    (datetime, 5, "x is an int, not a datetime"),
    (date, None, "x is a NoneType, not a date"),
    (UUID, "secret", "x does not hold a UUID"),
    (Decimal, "secret", "x does not hold a Decimal"),
    (Decimal, True, "x is a bool, not a Decimal"),
    (timedelta, 1e300, "x does not hold a timedelta"),
    (Colour, "secret", "x is no Colour"),
    (Colour, ["secret"], "x is no Colour"),
    (Shape, "secret", "x is no Shape"),
    (Item, "secret", "x is a str, not an Item"),
    (Item, {"name": "a"}, "x does not make an Item: TypeError"),
    (Item, {"name": "a", "price": "1", "secrets": 1}, "x has a field that Item has not: secrets"),
    (Item, {"name": "a", "price": "secret"}, 'x["price"] does not hold a Decimal'),
    (Positive, {"number": -5}, "x does not make a Positive: ValueError"),
    (list[date], {"a": "secret"}, "x is a dict, not a list"),
    (list[date], ["2026-01-02", "secret"], "x[1] does not hold a date"),
    (set[int], [[1]], "x has an item that cannot be in a set"),
    (tuple[int, int], [1], "x has 1 items, not 2"),
    (dict[int, int], {"secret": 1}, 'x["secret"] does not hold an int'),
    (Movie, "secret", "x is a str, not a dict"),
    (Movie, {"title": "M", "seen": "secret"}, 'x["seen"] does not hold a date'),
    (Model, {"at": "secret"}, "x is no Model: at (datetime_from_date_parsing)"),
    (Model, "secret", "x is no Model: it (model_type)"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), UNDECODABLE, ids=[one[2] for one in UNDECODABLE])
def test_what_cannot_be_decoded_names_the_place_and_no_value(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(NotDecodable) as raised:
        of(annotation).decode({"x": value})
    assert str(raised.value) == f"{message}, the parameter of shop.f"


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (date | datetime, "is a union of date and datetime, which JSON cannot tell apart"),
        (UUID | str | None, "is a union of UUID and str, which JSON cannot tell apart"),
        (list[Item | Order], "is a union of Item and Order, which JSON cannot tell apart"),
        (tuple[int, ...] | list[str], r"is a union of tuple and list, which JSON cannot tell apart"),
    ],
)
def test_a_union_that_json_cannot_tell_apart_is_refused(annotation: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"the parameter x of shop.f {message}"):
        of(annotation).encode((None,), {})


def test_an_annotation_that_is_imported_for_type_checkers_only_is_refused() -> None:
    def function(x: OnlyForTypes) -> None: ...

    with pytest.raises(TypeError, match=r"OnlyForTypes.*outside `if TYPE_CHECKING`"):
        Arguments(function, "shop.f").encode((1,), {})


# -- binding ----------------------------------------------------------------------------------------------------------------


def many(a: int, /, b: date, *c: Decimal, d: int = 1, **e: UUID) -> Any:
    return a, b, c, d, e


def test_arguments_of_every_kind_are_bound_by_their_names() -> None:
    arguments = Arguments(many, "many")
    given = ((1, NOON.date(), Decimal(2), Decimal(3)), {"d": 4, "f": ID})
    payload = arguments.encode(*given)
    assert payload == {"a": 1, "b": "2026-01-02", "c": ["2", "3"], "d": 4, "e": {"f": str(ID)}}
    positional, keywords = arguments.decode(payload)
    assert many(*positional, **keywords) == (1, NOON.date(), (Decimal(2), Decimal(3)), 4, {"f": ID})


def test_defaults_are_filled_in_when_the_job_is_created() -> None:
    assert of(date, NOON.date()).encode((), {}) == {"x": "2026-01-02"}
    assert Arguments(many, "many").encode((1, NOON.date()), {}) == {"a": 1, "b": "2026-01-02", "c": [], "d": 1, "e": {}}


@pytest.mark.parametrize(
    ("positional", "keywords", "message"),
    [
        ((), {}, "shop.f: missing a required argument: 'x'"),
        ((1, 2), {}, "shop.f: too many positional arguments"),
        ((1,), {"y": 2}, "shop.f: got an unexpected keyword argument 'y'"),
        ((1,), {"x": 2}, "shop.f: multiple values for argument 'x'"),
    ],
)
def test_arguments_that_do_not_fit_are_a_type_error(positional: Any, keywords: Any, message: str) -> None:
    with pytest.raises(TypeError) as raised:
        of(int).encode(positional, keywords)
    assert str(raised.value) == message


def test_a_payload_of_older_code_gets_the_defaults_of_new_parameters() -> None:
    assert of(date, NOON.date()).decode({}) == ([NOON.date()], {})
    positional, keywords = Arguments(many, "many").decode({"a": 1, "b": "2026-01-02"})
    assert many(*positional, **keywords) == (1, NOON.date(), (), 1, {})


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "the payload lacks 'a', a parameter of many"),
        ({"a": 1}, "the payload lacks 'b', a parameter of many"),
        ({"a": 1, "b": "2026-01-02", "z": 1}, "the payload has 'z', and many has no such parameter"),
        ({"a": 1, "b": "2026-01-02", "c": {}}, "c is no list, the parameter of many"),
        ({"a": 1, "b": "2026-01-02", "c": ["1", "x"]}, "c[1] does not hold a Decimal, the parameter of many"),
        ({"a": 1, "b": "2026-01-02", "e": []}, "e is no object, the parameter of many"),
        ({"a": 1, "b": "2026-01-02", "e": {"f": 1}}, 'e["f"] is an int, not a UUID, the parameter of many'),
    ],
)
def test_a_payload_that_does_not_fit_the_parameters_is_not_decodable(payload: Any, message: str) -> None:
    with pytest.raises(NotDecodable) as raised:
        Arguments(many, "many").decode(payload)
    assert str(raised.value) == message


def test_a_function_whose_parameters_python_cannot_tell_is_refused() -> None:
    with pytest.raises(TypeError, match=r"the parameters of shop\.f cannot be told"):
        Arguments(dict.fromkeys if _has_no_signature(dict.fromkeys) else type, "shop.f")


def _has_no_signature(function: Callable[..., Any]) -> bool:
    import inspect

    try:
        inspect.signature(function)
    except ValueError:
        return True
    return False


def test_pydantic_is_not_imported_by_steve() -> None:
    program = """
import sys, datetime, dataclasses
from steve._model.arguments import Arguments
@dataclasses.dataclass
class Item:
    at: datetime.date
class Other: ...
def function(item: Item, other: Other, more: list[Item]): ...
arguments = Arguments(function, "f")
item = Item(datetime.date(2026, 1, 2))
assert arguments.decode(arguments.encode((item, 1, [item]), {})) == ([item, 1, [item]], {})
assert "pydantic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_fields_of_a_dataclass_are_those_of_its_constructor() -> None:
    assert [one.name for one in dataclasses.fields(Order) if not one.init] == ["total"]
    order = Order(ID, (Item("a", Decimal(2)),))
    payload = of(Order).encode((order,), {})
    assert "total" not in payload["x"]
    ((found,), _) = of(Order).decode(payload)
    assert found.total == Decimal(2)
