"""`Serializer`: values as JSON, with the usual standard types kept, and without pickle.

JSON has no way to say that a list was a tuple.  So everything that JSON does not know is an object with one key that
starts with a ``$``, such as ``{"$tuple": [1, 2]}``, and reads well enough in the file.

Stands on the names of modules.  Used by what writes and reads values, and by programs that know more types.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from inspect import getattr_static
from math import isfinite
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from .modules import find, qualified_name

__all__ = ["Serializer", "Unsupported", "quick_json", "to_json"]

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_quoted = json.encoder.encode_basestring

_HEAP = 1 << 9  # the flag of classes that are not built in
_LONG = 1 << 63  # JSON has no limit, but readers have, and `int()` of a long decimal text is refused


class Unsupported(TypeError):
    """Raised by `Serializer.encode` for a value of a type that it does not know, and by `decode` for unknown data."""

    __module__ = "actionqueues.journal"


def _is_cache(attribute: object) -> bool:
    """Whether an attribute of a class keeps what it has computed in the object, as a `cached_property` does."""
    kind: type = type(attribute)
    reads_only = hasattr(kind, "__get__") and not hasattr(kind, "__set__")
    return reads_only and not callable(attribute) and kind is not classmethod


def to_json(data: object) -> str:
    """The text of JSON data, fit for a UTF-8 file: readable letters, unless a text is no Unicode."""
    text = _encode(data)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # lone surrogates, as in file names
            return json.dumps(data, allow_nan=False)
    return text


def quick_json(value: Any) -> str | None:
    """The text of a value of the commonest types, as a `Serializer` and `to_json` would have it; None for any other."""
    kind = type(value)
    if kind is str:
        return _quoted(value) if value.isascii() else None
    if kind is int:
        return repr(value) if -_LONG <= value < _LONG else None
    return "null" if value is None else None


class Serializer:
    """Turns values into JSON data and back.

    Kept as they are: None, bool, int, float, str, bytes, bytearray, list, tuple, dict with any keys, set, frozenset,
    deque, OrderedDict, date, time, datetime, timedelta, time zones, Decimal, Fraction, complex, UUID, paths, enums,
    dataclasses, named tuples, and classes.  A class can say what identifies its instances by two methods::

        def __actionqueues_reference__(self): return self.id      # plain data
        @classmethod
        def __actionqueues_resolve__(cls, reference): return cls.load(reference)

    What is none of these, a subclass of one of them included, is refused.  For more types, derive from this one::

        class WithMoney(Serializer):
            def encode(self, value):
                return {"$money": str(value)} if type(value) is Money else super().encode(value)

            def decode(self, data):
                return Money(data["$money"]) if self.is_tagged(data, "$money") else super().decode(data)
    """

    __module__ = "actionqueues.journal"

    def encode(self, value: Any) -> Any:
        """`value` as data that `json.dumps` takes.

        Raises:
            Unsupported: if it contains a value of an unknown type.
        """
        kind: type = type(value)
        if kind is str or kind is bool or value is None:
            return value
        if kind is int:
            return value if -_LONG <= value < _LONG else {"$int": hex(value)}
        if kind is float:
            return value if isfinite(value) else {"$float": repr(value)}
        if kind is list:
            return [self.encode(item) for item in value]
        if kind is dict:
            return self._encode_dict(value)
        encode = _ENCODERS.get(kind)
        if encode is not None:
            tag, part = encode(value)
            return {tag: self.encode(part)}
        return self._encode_object(value, kind)

    def _encode_dict(self, value: dict[Any, Any]) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self.encode(item) for key, item in value.items()}
        return {"$dict": [[self.encode(key), self.encode(item)] for key, item in value.items()]}

    def _encode_object(self, value: Any, kind: type) -> Any:
        if isinstance(value, type):
            return {"$class": self._name(value)}
        if hasattr(kind, "__actionqueues_reference__"):
            return {"$reference": [self._name(kind), self.encode(value.__actionqueues_reference__())]}
        if isinstance(value, Enum):
            by_name = kind.__members__.get(value.name) is value  # type: ignore[attr-defined] # an enum's class
            return {"$enum": [self._name(kind), *([value.name] if by_name else [None, self.encode(value.value)])]}
        if is_dataclass(kind):
            base = next(each for each in kind.__mro__ if not each.__flags__ & _HEAP)
            if base is not object:
                raise Unsupported(f"a {kind.__qualname__}, a dataclass that is a {base.__name__} as well")
            data = {field.name: self.encode(getattr(value, field.name)) for field in fields(kind)}
            self._check_attributes(value, kind, data.keys())
            return {"$dataclass": [self._name(kind), data]}
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            self._check_attributes(value, kind, ())
            return {"$namedtuple": [self._name(kind), [self.encode(item) for item in value]]}
        raise Unsupported(f"a {kind.__module__}.{kind.__qualname__}")

    @staticmethod
    def _check_attributes(value: Any, kind: type, known: Iterable[str]) -> None:
        """Refuse what would be lost."""
        extra = set(getattr(value, "__dict__", ())) - {*known, "__orig_class__"}  # which `Box[int](1)` leaves
        extra = {name for name in extra if not _is_cache(getattr_static(kind, name, None))}
        if extra:
            raise Unsupported(f"a {kind.__qualname__} with the attribute {min(extra)!r}, which is no field of it")

    @staticmethod
    def _name(kind: type) -> str:
        name = qualified_name(kind)
        if not any(each is kind for each in find(name)):
            raise Unsupported(f"a {name}, which is not found under that name (define the class at module level)")
        return name

    @staticmethod
    def is_tagged(data: Any, tag: str) -> bool:
        """Whether `data` is an object with this tag."""
        return isinstance(data, dict) and len(data) == 1 and tag in data

    def decode(self, data: Any) -> Any:
        """The value that was encoded as `data`.

        Raises:
            Unsupported: for data that `encode` does not make, and classes that are not imported.
        """
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        if not isinstance(data, dict):
            return data
        items: dict[str, Any] = data
        tag = next(iter(items), "")
        if not tag.startswith("$"):
            return {key: self.decode(item) for key, item in items.items()}
        part = items[tag]
        if tag == "$dict":
            return {self.decode(key): self.decode(item) for key, item in part}
        if tag in _DECODERS:
            return _DECODERS[tag](self.decode(part))
        return self._decode_object(tag, part)

    def _decode_object(self, tag: str, part: Any) -> Any:
        if tag == "$class":
            return _class(part)
        if tag == "$reference":
            resolve = getattr(_class(part[0]), "__actionqueues_resolve__", None)
            if resolve is None:
                raise Unsupported(f"{part[0]}, which has no __actionqueues_resolve__")
            return resolve(self.decode(part[1]))
        if tag == "$enum":
            enum: Any = _class(part[0], Enum)
            return enum(self.decode(part[2])) if len(part) == 3 else enum[part[1]]
        if tag == "$dataclass":
            cls: Any = _class(part[0])
            if not (isinstance(cls, type) and is_dataclass(cls)):
                raise Unsupported(f"{part[0]}, which is no dataclass")
            made: Any = object.__new__(cls)
            for name, item in part[1].items():  # as it was, without `__init__`, whose checks may have changed
                object.__setattr__(made, name, self.decode(item))
            return made
        if tag == "$namedtuple":
            return tuple.__new__(_class(part[0], tuple), [self.decode(item) for item in part[1]])
        raise Unsupported(f"data with the tag {tag!r}")


def _class(name: str, base: type = object) -> Any:
    for found in find(name):
        if isinstance(found, type) and issubclass(found, base):
            return found
    raise Unsupported(f"{name}, which is not there (import the module that defines it)")


def _zone(value: Any) -> Any:
    """A time zone by its key or its offset in seconds."""
    if value is None:
        return None
    if type(value) is timezone:
        return value.utcoffset(None).total_seconds()
    if type(value) is ZoneInfo and value.key:
        return value.key
    raise Unsupported(f"the time zone {value!r}")


def _zone_of(data: Any) -> Any:
    if data is None:
        return None
    return ZoneInfo(data) if isinstance(data, str) else timezone(timedelta(seconds=data))


def _datetime(value: datetime) -> tuple[str, Any]:
    text = value.replace(tzinfo=None, fold=0).isoformat()
    return "$datetime", [text, *([_zone(value.tzinfo), value.fold] if value.tzinfo or value.fold else [])]


def _datetime_of(data: Any) -> datetime:
    text, zone, fold = data if len(data) == 3 else (data[0], None, 0)
    return datetime.fromisoformat(text).replace(tzinfo=_zone_of(zone), fold=fold)


def _time(value: time) -> tuple[str, Any]:
    text = value.replace(tzinfo=None, fold=0).isoformat()
    return "$time", [text, *([_zone(value.tzinfo), value.fold] if value.tzinfo or value.fold else [])]


def _time_of(data: Any) -> time:
    text, zone, fold = data if len(data) == 3 else (data[0], None, 0)
    return time.fromisoformat(text).replace(tzinfo=_zone_of(zone), fold=fold)


def _sorted(values: Iterable[Any]) -> list[Any]:
    """In a settled order where there is one, so that the same set is the same text."""
    items = list(values)
    try:
        return sorted(items)
    except TypeError:
        return items


_ENCODERS: dict[type, Callable[[Any], tuple[str, Any]]] = {
    bytes: lambda value: ("$bytes", base64.b64encode(value).decode()),
    bytearray: lambda value: ("$bytearray", base64.b64encode(value).decode()),
    tuple: lambda value: ("$tuple", list(value)),
    set: lambda value: ("$set", _sorted(value)),
    frozenset: lambda value: ("$frozenset", _sorted(value)),
    deque: lambda value: ("$deque", [list(value), value.maxlen]),
    OrderedDict: lambda value: ("$ordered", [list(item) for item in value.items()]),
    datetime: _datetime,
    date: lambda value: ("$date", value.isoformat()),
    time: _time,
    timedelta: lambda value: ("$timedelta", [value.days, value.seconds, value.microseconds]),
    timezone: lambda value: ("$timezone", _zone(value)),
    ZoneInfo: lambda value: ("$timezone", _zone(value)),
    Decimal: lambda value: ("$decimal", str(value)),
    Fraction: lambda value: ("$fraction", [value.numerator, value.denominator]),
    complex: lambda value: ("$complex", [value.real, value.imag]),
    UUID: lambda value: ("$uuid", str(value)),
    PosixPath: lambda value: ("$path", str(value)),
    WindowsPath: lambda value: ("$path", str(value)),
    PurePosixPath: lambda value: ("$posixpath", str(value)),
    PureWindowsPath: lambda value: ("$windowspath", str(value)),
}

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$int": lambda part: int(part, 16),
    "$float": float,
    "$bytes": base64.b64decode,
    "$bytearray": lambda part: bytearray(base64.b64decode(part)),
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$deque": lambda part: deque(part[0], part[1]),
    "$ordered": OrderedDict,
    "$datetime": _datetime_of,
    "$date": date.fromisoformat,
    "$time": _time_of,
    "$timedelta": lambda part: timedelta(*part),
    "$timezone": _zone_of,
    "$decimal": Decimal,
    "$fraction": lambda part: Fraction(*part),
    "$complex": lambda part: complex(*part),
    "$uuid": UUID,
    "$path": Path,
    "$posixpath": PurePosixPath,
    "$windowspath": PureWindowsPath,
}
