"""Ready pictures of the world: directories, and objects in memory (databases: `tables.py`); and how a picture is kept.

Each makes a function without arguments that takes a picture; so does any function of the user's own.  A picture is
*frozen*: made of dicts with text as keys, lists, and values that nobody changes afterwards.

Stands on nothing.  Used by scenarios, as ``state=``, and by the sweep.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple, TypeAlias, cast

__all__ = [
    "ATOMS",
    "File",
    "Folder",
    "Link",
    "Special",
    "State",
    "directory",
    "fields_of",
    "frozen",
    "is_blank",
    "memory",
    "picture",
    "unused_key",
]

#: Takes a picture of the world; or several, by the name of the system that each shows.
State: TypeAlias = "Callable[[], object] | Mapping[str, Callable[[], object]]"


class File(NamedTuple):
    """A regular file."""

    mode: str  #: its permissions, such as ``"644"``
    content: bytes  #: all that is in it
    links: int = 1  #: how many names it has, as hard links give it

    def __repr__(self) -> str:
        links = f", links={self.links}" if self.links != 1 else ""
        return f"File(mode={self.mode!r}, content={self.content!r}{links})"


class Folder(NamedTuple):
    """A directory."""

    mode: str  #: its permissions, such as ``"755"``


class Link(NamedTuple):
    """A symbolic link."""

    target: str  #: where it leads


class Special(NamedTuple):
    """Something else: a socket, a pipe, a device."""

    mode: str  #: its type and permissions, such as ``"prw-r--r--"``


def directory(path: str | os.PathLike[str]) -> Callable[[], dict[str, object]]:
    """Pictures of a directory: content, mode and links, by path relative to it; nothing where it does not exist.

    The directory itself is in it as ``"."``.
    """
    root = Path(path)

    def take() -> dict[str, object]:
        found: dict[str, object] = {}
        _enter(found, ".", root)
        pending = [root]
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                where = Path(entry.path)
                _enter(found, where.relative_to(root).as_posix(), where)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(where)
        return dict(sorted(found.items()))

    return take


def _enter(found: dict[str, object], name: str, path: Path) -> None:
    try:
        found[name] = _entry(path)
    except (FileNotFoundError, NotADirectoryError):  # it was there a moment ago
        pass


def _entry(path: Path) -> object:
    status = path.lstat()
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISLNK(status.st_mode):
        return Link(str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Folder(mode)
    if stat.S_ISREG(status.st_mode):
        return File(mode, path.read_bytes(), status.st_nlink)
    return Special(stat.filemode(status.st_mode))


def unused_key(key: str, taken: Mapping[str, object]) -> str:
    """A key like this one that is not taken: two rows may be the same, and two keys, such as 1 and "1", look so."""
    number, unused = 1, key
    while unused in taken:
        number += 1
        unused = f"{key} again, {number}"
    return unused


def memory(*things: object, **named: object) -> Callable[[], object]:
    """Pictures of what dicts, lists and objects hold: one thing, or several by name."""
    if len(things) == 1 and not named:
        return lambda: frozen(things[0])
    if things:
        raise TypeError("memory() takes one thing, or several by name: memory(cart=cart, stock=stock)")
    return lambda: {name: frozen(thing) for name, thing in named.items()}


def picture(state: State) -> Callable[[], object]:
    """A function that takes a frozen picture of `state`.

    Raises:
        TypeError: if `state` is neither a function nor a mapping of names to functions.
    """
    systems: Any = state
    if isinstance(systems, Mapping):
        takes = dict(cast("Mapping[str, Any]", systems))
        wrong = [name for name, take in takes.items() if not callable(take)]
        if not wrong:
            return lambda: {name: frozen(take()) for name, take in takes.items()}
        systems = takes[wrong[0]]
    if not callable(systems):
        raise TypeError(
            f"state must be a function without arguments, or a dict of them by name, not {systems!r}; for a thing that "
            "is there already there are memory(thing), directory(path) and database(connection)"
        )
    take_all: Callable[[], object] = systems
    return lambda: frozen(take_all())


ATOMS = (
    Enum,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    ModuleType,
    type,
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
)


def frozen(value: object) -> Any:
    """A copy that later changes do not reach: dicts, lists and the fields of objects, through and through."""
    return _frozen(value, {})


def _frozen(value: Any, above: dict[int, str]) -> Any:
    given: Any = value
    if isinstance(value, ATOMS):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(cast("bytearray", value))
    if id(value) in above:
        return above[id(value)]
    above[id(value)] = f"<{type(value).__name__}, which this is a part of>"
    try:
        if isinstance(value, File | Folder | Link | Special):
            return value
        if isinstance(value, Mapping):
            copied: dict[str, object] = {}
            for key, item in cast("Mapping[object, object]", value).items():
                copied[unused_key(key if isinstance(key, str) else repr(key), copied)] = _frozen(item, above)
            return copied
        if isinstance(value, AbstractSet):
            return {repr(item): item for item in sorted(cast("AbstractSet[object]", value), key=repr)}
        if isinstance(value, Sequence | ValuesView):
            return [_frozen(item, above) for item in cast("Iterable[object]", value)]
        fields = _fields(given)
        if fields is not None:
            return {name: _frozen(item, above) for name, item in fields.items()}
    finally:
        del above[id(given)]
    try:
        return copy.deepcopy(given)
    except Exception:  # a connection, a lock: the thing itself is all there is to compare
        return given


def is_blank(picture: object) -> bool:
    """Whether a frozen picture shows nothing: it is empty, or a thing that cannot be copied and so never differs."""
    if isinstance(picture, Mapping):
        return all(map(is_blank, cast("Mapping[str, object]", picture).values()))
    if isinstance(picture, list):
        return all(map(is_blank, cast("list[object]", picture)))
    if picture is None or isinstance(picture, Folder):
        return True
    try:
        copy.deepcopy(picture)
    except Exception:
        return True
    return False


def _fields(value: Any) -> dict[str, object] | None:
    """What an object holds, where its class says nothing else about when two are equal."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    cls: Any = value.__class__
    if cls.__eq__ is not object.__eq__ or callable(value):
        return None
    held = fields_of(value)
    return held if held or hasattr(value, "__dict__") or any(map(_slots, cls.__mro__)) else None


def fields_of(value: Any) -> dict[str, object]:
    """What an object holds in its slots and its dictionary."""
    names = [name for each in type(value).__mro__ for name in _slots(each)]
    held: dict[str, object] = {name: getattr(value, name) for name in names if hasattr(value, name)}
    own: object = getattr(value, "__dict__", None)
    return {**held, **own} if isinstance(own, dict) else held


def _slots(cls: type) -> list[str]:
    """The slots of a class, as they are called in its objects."""
    slots: Any = vars(cls).get("__slots__", ())
    names: list[str] = [slots] if isinstance(slots, str) else [*slots]
    return [
        f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in names
        if name not in ("__dict__", "__weakref__")
    ]
