"""Plain data come back as they were, type by type; everything else is refused by name."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionqueues.journal import Serializer, Unsupported
from actionqueues.journal.serializer import to_json


class Colour(enum.Enum):
    RED = "red"
    BLUE = (1, 2)


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Level(enum.IntEnum):
    LOW = 1


@dataclass(frozen=True, slots=True)
class Point:
    x: Any
    y: Any = 0


@dataclass
class Order:
    lines: list[Any]
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = len(self.lines)


class Pair(NamedTuple):
    left: Any
    right: Any


class Account:
    loaded: ClassVar[list[str]] = []

    def __init__(self, number: str) -> None:
        self.number = number

    def __actionqueues_reference__(self) -> str:
        return self.number

    @classmethod
    def __actionqueues_resolve__(cls, reference: str) -> Account:
        cls.loaded.append(reference)
        return cls(reference)


class Unresolved:
    def __actionqueues_reference__(self) -> str:
        return "it"


class Odd(tzinfo):
    def utcoffset(self, moment: datetime | None, /) -> timedelta:
        return timedelta(0)

    def dst(self, moment: datetime | None, /) -> None:
        return None

    def tzname(self, moment: datetime | None, /) -> str:
        return "odd"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.characters(categories=["Cs"])
    | st.binary()
    | st.binary().map(bytearray)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.timezones(), allow_imaginary=False)
    | st.times(timezones=st.none() | st.just(timezone(timedelta(hours=-3))))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.complex_numbers(allow_nan=False)
    | st.uuids()
    | st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])).map(Path)
    | st.sampled_from([*Colour, *Access, Access.READ | Access.WRITE, Level.LOW, Point, Colour])
    | st.sampled_from([PurePosixPath("/a"), PureWindowsPath("c:/a"), ZoneInfo("Europe/Zurich"), UTC, 1 << 1000])
)
hashable = scalars.filter(lambda value: not isinstance(value, bytearray))


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(values)
        | st.lists(values).map(tuple)
        | st.lists(values, max_size=3).map(lambda items: deque(items, 5))
        | st.dictionaries(st.text(), values)
        | st.dictionaries(hashable, values)
        | st.dictionaries(st.sampled_from(["$tuple", "$dict", "$", "a"]), values)
        | st.dictionaries(st.text(), values).map(OrderedDict)
        | st.sets(hashable)
        | st.frozensets(hashable)
        | st.tuples(values, values).map(lambda pair: Point(*pair))
        | st.tuples(values, values).map(lambda pair: Pair(*pair))
        | st.lists(values).map(Order)
    )


def there_and_back(value: Any) -> Any:
    text = to_json(Serializer().encode(value))
    text.encode()  # is what SQLite will do
    return Serializer().decode(json.loads(text))


def shape(value: Any) -> Any:
    """A value with all its types."""
    if isinstance(value, dict):
        return type(value), [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(shape(item)) for item in value)
    if isinstance(value, Point | Order):
        return type(value), [shape(getattr(value, name)) for name in type(value).__dataclass_fields__]
    if isinstance(value, list | tuple | deque):
        return type(value), getattr(value, "maxlen", None), [shape(item) for item in value]
    if isinstance(value, datetime | time):
        return type(value), value.replace(tzinfo=None), value.fold, str(value.tzinfo)
    return type(value), repr(value)


@given(st.recursive(scalars, containers, max_leaves=8))
def test_a_value_comes_back_with_all_its_types(value: Any) -> None:
    assert shape(there_and_back(value)) == shape(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.0, Decimal("NaN"), 2**63, -(2**63)])
def test_a_number_that_json_does_not_know_comes_back(value: Any) -> None:
    assert repr(there_and_back(value)) == repr(value)


def test_an_integer_too_long_for_its_decimal_text_comes_back() -> None:
    assert there_and_back(1 << 70000) == 1 << 70000


@pytest.mark.parametrize("value", [datetime(2026, 10, 25, 2, 30, fold=1), time(2, 30, fold=1)])
def test_the_second_of_two_hours_when_the_clock_is_put_back_stays_the_second(value: Any) -> None:
    again = Serializer().decode(Serializer().encode(value))
    assert (again, again.fold, again.tzinfo) == (value, 1, None)


@pytest.mark.parametrize("zone", [ZoneInfo("Europe/Zurich"), UTC, timezone(timedelta(hours=2))], ids=str)
def test_a_time_zone_comes_back(zone: Any) -> None:
    for value in (zone, datetime(2026, 10, 25, 2, 30, tzinfo=zone), time(2, 30, tzinfo=zone)):
        assert shape(there_and_back(value)) == shape(value)


def test_the_data_read_well() -> None:
    value = {"who": "Zoë", "when": date(2026, 1, 2), "what": (1, b"x"), "id": UUID(int=1), "ratio": Fraction(1, 3)}
    assert to_json(Serializer().encode(value)) == (
        '{"who": "Zoë", "when": {"$date": "2026-01-02"}, "what": {"$tuple": [1, {"$bytes": "eA=="}]}, '
        '"id": {"$uuid": "00000000-0000-0000-0000-000000000001"}, "ratio": {"$fraction": [1, 3]}}'
    )


def test_an_instance_is_recorded_by_what_its_class_says_identifies_it() -> None:
    back = there_and_back([Account("17")])
    assert (type(back[0]), back[0].number, Account.loaded) == (Account, "17", ["17"])


Item = TypeVar("Item")


@dataclass
class Box(Generic[Item]):
    item: Item


def test_a_generic_dataclass_comes_back() -> None:
    serializer = Serializer()
    assert serializer.decode(serializer.encode(Box[int](1))) == Box(1)


def test_a_dataclass_comes_back_without_its_constructor() -> None:
    order = Order([1, 2])
    order.total = 5
    assert there_and_back(order).total == 5


Local = namedtuple("Local", "a")  # noqa: PYI024 - an untyped one is the case


def local() -> object:
    class Inner(NamedTuple):
        a: int

    return Inner(1)


def undeclared() -> Order:
    order = Order([])
    order.extra = 1  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    return order


@dataclass
class Listed(list[int]):
    number: int = 1


@dataclass
class Raised(Exception):
    number: int = 1


class Single(NamedTuple):
    first: int


class MoreThanSingle(Single):
    extra: int


def more() -> MoreThanSingle:
    single = MoreThanSingle(1)
    single.extra = 2
    return single


@dataclass(frozen=True)
class Priced:
    amount: int

    @cached_property
    def text(self) -> str:
        return f"{self.amount} euros"

    @classmethod
    def make(cls) -> Priced:
        return cls(1)


def test_what_a_cached_property_has_kept_is_computed_again() -> None:
    priced = Priced(3)
    assert priced.text == "3 euros"
    back = Serializer().decode(Serializer().encode(priced))
    assert (back, vars(back)) == (priced, {"amount": 3})
    assert back.text == "3 euros"


def test_a_method_that_an_object_has_replaced_is_not_lost_in_silence() -> None:
    priced = Priced(3)
    vars(priced)["make"] = print
    with pytest.raises(Unsupported, match="'make', which is no field"):
        Serializer().encode(priced)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "builtins.object"),
        (Listed(), "a dataclass that is a list as well"),
        (Raised(), "a dataclass that is a Exception as well"),
        (more(), "'extra', which is no field"),
        (len, "builtins.builtin_function_or_method"),
        ([{"a": (1, {2, 3}, print)}], "builtin_function_or_method"),
        (type("Text", (str,), {})("x"), "Text"),
        (datetime(2026, 1, 1, tzinfo=Odd()), "time zone"),
        (local(), "define the class at module level"),
        (undeclared(), "'extra', which is no field"),
        (ValueError("x"), "builtins.ValueError"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name(value: object, named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        Serializer().encode(value)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"$nonsense": 1}, "the tag '\\$nonsense'"),
        ({"$class": "no.such.module:Thing"}, "import the module"),
        ({"$class": "os"}, "not there"),
        ({"$class": "os:path.join"}, "not there"),
        ({"$enum": ["pathlib:Path", "X"]}, "not there"),
        ({"$dataclass": ["pathlib:Path", {}]}, "no dataclass"),
        ({"$namedtuple": ["pathlib:Path", []]}, "not there"),
        ({"$reference": ["pathlib:Path", 1]}, "no __actionqueues_resolve__"),
        ({"$class": "os:name.x"}, "not there"),
    ],
)
def test_data_that_lead_nowhere_are_refused(data: object, named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        Serializer().decode(data)


def test_nothing_is_imported_to_decode() -> None:
    import sys

    assert "antigravity" not in sys.modules
    with pytest.raises(Unsupported):
        Serializer().decode({"$class": "antigravity:webbrowser"})
    assert "antigravity" not in sys.modules


class Money:
    def __init__(self, amount: str) -> None:
        self.amount = amount


class WithMoney(Serializer):
    def encode(self, value: Any) -> Any:
        return {"$money": value.amount} if type(value) is Money else super().encode(value)

    def decode(self, data: Any) -> Any:
        return Money(data["$money"]) if self.is_tagged(data, "$money") else super().decode(data)


def test_a_serializer_can_be_taught_a_type() -> None:
    mine = WithMoney()
    back = mine.decode(mine.encode({"prices": (Money("1"), time(1, 2))}))
    assert back["prices"][0].amount == "1"
    assert back["prices"][1] == time(1, 2)
