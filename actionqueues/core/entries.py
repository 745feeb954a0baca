"""`StepReport`: what a report tells of one step or savepoint, to be kept, shown, or written as plain data.

It refers to no exception, whose traceback would hold the program's frames, but has its text.

Stands on steps.  Used by reports, by what keeps or traces the steps of a transaction, and by the journal, which makes
it from its file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from enum import Enum
from itertools import chain, islice
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final, NamedTuple, cast
from weakref import ref

from .definition import Definition
from .signature import ANY
from .states import StepState
from .step import DEFINITION, VALUES, Record
from .text import one_line

__all__ = ["PastError", "StepReport", "frozen_record"]

#: As many characters as the arguments of a step may take.
WIDTH: Final = 60

#: What is shown in the place of an argument that the journal keeps out of its file.
HIDDEN: Final = "…"


class PastError(Exception):
    """An exception of which only the text is known: what it was is told in another process, or in a file."""

    def __repr__(self) -> str:
        return str(self)


class StepReport:
    """What is known of one step, or savepoint, of a transaction.

    Attributes:
        number: from 1, in order of start, over the whole transaction; 0 while it is queued.
        kind: ``step``, ``savepoint``, or ``by hand`` for what ``q.on_rollback`` has recorded.
        name: the name of the action, or of the savepoint.
        state: what became of its body, a `StepState`: queued, running, done, failed, unknown or dropped; of a savepoint
            its `TransactionState`.
        attempts: how often its body was started.
        error: what the last attempt raised, as text, or None.
        undo: what became of its undo, or None if none was tried, or needed: running, undone, undo failed, conflict,
            skipped, not undone, not landed, or abandoned.
        undo_attempts: how often its undo was tried, as far as somebody has watched.
        undo_error: what the last attempt of its undo raised, as text, or None.
        reason: why it was left, in words, or None.
        key: its idempotency key, or None if nobody has asked for it.
        queued, started, ended, undo_started, undo_ended: when, in seconds since the epoch; None if nobody has watched,
            or it has not happened.
        contains: the steps that its body has made, or that the savepoint contains.
        went_back: which ``q.rollback(to=mark)`` of its block has undone it, from 1; 0 if none has, or times tell that.
    """

    __module__ = "actionqueues"

    __slots__ = (
        "__weakref__", "_arguments", "_parent", "attempts", "contains", "ended", "error", "hidden", "key", "kind",
        "name", "number", "queued", "reason", "record", "started", "state", "undo", "undo_attempts", "undo_ended",
        "undo_error", "undo_started", "went_back",
    )  # fmt: skip

    number: int
    kind: str
    name: str
    state: str
    attempts: int
    error: str | None
    undo: str | None
    undo_attempts: int
    undo_error: str | None
    reason: str | None
    key: str | None
    queued: float | None
    started: float | None
    ended: float | None
    undo_started: float | None
    undo_ended: float | None
    contains: list[StepReport]
    went_back: int
    record: Record | None  # a frozen one, whose arguments are made text once they are asked for
    _parent: ref[StepReport] | None
    hidden: Collection[str]  # the names of arguments that are not shown

    def __init__(self, kind: str, name: str, state: str, record: Record | None = None) -> None:
        self.kind, self.name, self.state, self.record = kind, name, state, record
        self.number = self.attempts = self.undo_attempts = self.went_back = 0
        self.error = self.undo = self.undo_error = self.reason = self.key = self._parent = None
        self._arguments: str | None = None
        self.queued = self.started = self.ended = self.undo_started = self.undo_ended = None
        self.contains = []
        self.hidden = ()

    @property
    def parent(self) -> StepReport | None:
        """What it is contained in, or None."""
        return None if self._parent is None else self._parent()

    @parent.setter
    def parent(self, parent: StepReport | None) -> None:
        self._parent = None if parent is None else ref(parent)  # otherwise both would wait for the collector

    @property
    def arguments(self) -> str:
        """The arguments as short text, in one line."""
        if self._arguments is None:
            self._arguments = "" if self.record is None else short_arguments(self.record, self.hidden)
        return self._arguments

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, with what it contains."""
        made = _flat(self)
        pairs: list[tuple[StepReport, dict[str, Any]]] = [(self, made)]
        for entry, data in pairs:  # which grows: a tree may be deeper than the stack
            data["contains"] = [_flat(inner) for inner in entry.contains]
            pairs.extend(zip(entry.contains, data["contains"], strict=True))
        return made

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepReport:
        """What `as_dict` has made plain data of.

        Raises:
            ValueError: if it is something else.
        """
        top = _unflat(cls, data)
        pairs = [(top, data)]
        for entry, told in pairs:
            inner = told.get("contains", [])
            if not isinstance(inner, list):
                raise ValueError(f"the step {entry.name!r} of a report contains {inner!r}, which is no list")
            for each in inner:
                made = _unflat(cls, each)
                made.parent = entry
                entry.contains.append(made)
                pairs.append((made, each))
        return top

    def __repr__(self) -> str:
        undo = f", {self.undo}" if self.undo else ""
        error = f": {self.error}" if self.error else ""
        return f"<StepReport {self.name} {self.state}{undo}{error}>"


_FIELDS: Final = {
    "number": int, "kind": str, "name": str, "arguments": str, "state": str, "attempts": int, "error": (str, None),
    "undo": (str, None), "undo_attempts": int, "undo_error": (str, None), "reason": (str, None), "key": (str, None),
    "queued": (float, None), "started": (float, None), "ended": (float, None), "undo_started": (float, None),
    "undo_ended": (float, None), "went_back": int,
}  # fmt: skip


def _flat(entry: StepReport) -> dict[str, Any]:
    data = {name: getattr(entry, name) for name in _FIELDS}
    if not entry.went_back:
        del data["went_back"]  # which few have
    data["state"], data["undo"] = str(entry.state), None if entry.undo is None else str(entry.undo)
    return data


def _unflat(cls: type[StepReport], data: Any) -> StepReport:
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ValueError(f"a report has the step {data!r:.80}, which is no mapping with a name")
    made = cls(data.get("kind", "step"), data["name"], data.get("state", StepState.DONE))
    for name, kind in _FIELDS.items():
        if name not in data:
            continue
        value, fits = data[name], kind if isinstance(kind, tuple) else (kind,)
        number = float in fits and isinstance(value, int)
        if isinstance(value, bool) or not (number or (None in fits if value is None else isinstance(value, fits[0]))):
            raise ValueError(f"the step {made.name!r} of a report has {name} {value!r:.80}")
        setattr(made, "_arguments" if name == "arguments" else name, value)
    return made


# -- arguments


class Shown(NamedTuple):
    """What is shown of a value that is not plain: calling its `repr` may do anything, such as query a database."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def __format__(self, _how: str) -> str:
        return self.text


#: Types whose values are kept as they are.
_KEPT: Final = frozenset({int, float, complex, bool, type(None)})

#: Types whose `repr` does nothing else.
_TOLD: Final = frozenset({
    date, time, datetime, timedelta, range, PosixPath, WindowsPath, PurePosixPath, PureWindowsPath,
})  # fmt: skip

#: Likewise, by name, since importing them costs each program that does not use them.
_TOLD_TOO: Final = frozenset({("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID")})

#: Of a text so much is kept, of a collection so many values, and of one in it only the type.
_LENGTH, _SIZE = 40, 4


def frozen(value: Any, depth: int = 2) -> Any:
    """What is kept of an argument: small, plain, and nothing that changes or holds anything else."""
    cls = type(value)
    with suppress(Exception):  # its class cannot be looked up, or another thread changes it meanwhile
        if cls in _KEPT:
            return value if cls is not int or -(1 << 64) < value < 1 << 64 else Shown("<int>")
        if cls is str or cls is bytes:
            return value if len(value) <= _LENGTH else Shown(f"{value[:_LENGTH]!r}…")
        if cls in (tuple, list, dict, set, frozenset) and depth:
            return _collection(value, cls, depth - 1)
        if cls in _TOLD or (cls.__module__, cls.__qualname__) in _TOLD_TOO:
            return Shown(repr(value))
        # Nothing of the value is asked, nor of its class: a proxy answers for what it stands for, `__class__` too.
        if issubclass(cls, BaseException) and depth:  # as in a group
            return Shown(f"{_name_of(cls)}({', '.join(repr(frozen(each, 0)) for each in args_of(value))})")
        if issubclass(cls, Enum):
            return Shown(f"{_name_of(cls)}.{_getattribute(value, '_name_')}")
    return value if cls is Shown else Shown(f"<{_name_of(cls)}>")


_name_of: Final[Callable[[type], str]] = vars(type)["__name__"].__get__
args_of: Final[Callable[[BaseException], tuple[Any, ...]]] = cast("Any", BaseException.args).__get__
_getattribute: Final = object.__getattribute__


def _collection(value: Any, cls: Any, depth: int) -> Any:
    if cls is dict:
        pairs = [(frozen(key, 0), frozen(each, depth)) for key, each in islice(value.items(), _SIZE)]
        return dict(pairs if len(value) <= _SIZE else [*pairs, (Shown("…"), Shown("…"))])
    made = [frozen(each, depth) for each in islice(value, _SIZE)]
    return cls(made if len(value) <= _SIZE else [*made, Shown("…")])


def frozen_record(record: Record) -> Record:
    """A record with what is kept of its arguments, and its own `id` in the place of its outcome."""
    return [id(record), record[DEFINITION], *map(frozen, record[VALUES:])]


def are_plain(entries: Collection[Any]) -> bool:
    """Whether they are records with nothing but small plain values in them, results too: cheaply kept as they are."""
    try:
        if len(entries) > _SIZE:  # all at once, since that is done in C
            types = set(map(type, chain.from_iterable(entries))) if set(map(type, entries)) == {list} else {object}
            if types <= _SMALL or not types <= _SMALL | _TEXTS:
                return types <= _SMALL
        for record in entries:
            if type(record) is not list:
                return False
            for value in record:
                cls = type(value)
                if cls not in _SMALL and (cls not in _TEXTS or len(value) > _LENGTH):
                    return False
        return True
    except Exception:  # a class of the program's cannot be looked up
        return False


_SMALL: Final = _KEPT | {Definition}
_TEXTS: Final = frozenset({str, bytes})


def short_arguments(record: Record, hidden: Collection[str] = ()) -> str:
    """The arguments of a frozen record in one line of `WIDTH` characters at most, without those of `hidden` names."""
    definition = record[DEFINITION]
    if definition.is_object:
        return ""
    try:
        arguments = definition.arguments(record)
    except Exception:  # of a signature of the program's
        return HIDDEN
    if definition.parameters is ANY:  # a plain callable, whose parameters nobody has looked at
        places = {f"*{place}": value for place, value in enumerate(arguments["args"])}
        arguments = {**places, **arguments["kwargs"]}
    return in_short(arguments, hidden)


def in_short(arguments: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
    """Frozen arguments by name, likewise."""
    parts, room = list[str](), WIDTH
    for name, value in arguments.items():
        if name == "self" and type(value) is Shown:
            continue  # the name of a method tells as much
        text = ("" if name.startswith("*") else f"{name}=") + one_line(repr(_without(hidden, {name: value})[name]))
        parts.append(text)
        room -= len(text) + 2
        if room < 0:
            break
    text = ", ".join(parts)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _without(hidden: Collection[str], value: Any) -> Any:
    """The same without what has such a name in it, at any depth."""
    if type(value) is dict:
        return {key: Shown(HIDDEN) if key in hidden else _without(hidden, each) for key, each in value.items()}
    return type(value)(_without(hidden, each) for each in value) if type(value) in (list, tuple) else value
