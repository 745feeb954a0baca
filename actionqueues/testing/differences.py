"""What differs between two pictures of the world: what was added, removed and changed, and where.

Stands on nothing.  Used by all that compares: runs, the world of a sweep, diagnoses.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from reprlib import Repr
from typing import Any, Final, NamedTuple, TypeAlias, cast

__all__ = [
    "ABSENT",
    "Change",
    "Ignore",
    "Path",
    "compare",
    "concerns",
    "equal",
    "is_ignored",
    "render",
    "shown_path",
    "value_at",
]

#: The way to a value: the name of the system, then keys, fields and places.
Path: TypeAlias = tuple[str, ...]

#: What may differ: a name or dotted names, with the wildcards of `fnmatch`, or a predicate that is given a `Path`.
Ignore: TypeAlias = "str | Callable[[Path], bool]"


class _Absent:
    """Stands for a value that is not there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "nothing"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()

_short = Repr()
_short.maxstring = _short.maxother = 90
_short.maxdict = _short.maxlist = _short.maxtuple = 12
_short.maxlevel = 4


class Change(NamedTuple):
    """One value that is not as it was."""

    path: Path  #: where
    before: object  #: what it was, or `ABSENT`
    after: object  #: what it is, or `ABSENT`

    @property
    def kind(self) -> str:
        """``"added"``, ``"removed"`` or ``"changed"``."""
        if self.before is ABSENT:
            return "added"
        return "removed" if self.after is ABSENT else "changed"

    def __str__(self) -> str:
        where = shown_path(self.path)
        if self.kind == "added":
            return f"+ {where}: {_short.repr(self.after)}"
        if self.kind == "removed":
            return f"- {where}: {_short.repr(self.before)}"
        return f"~ {where}: {_short.repr(self.before)} -> {_short.repr(self.after)}"


def shown_path(path: Path) -> str:
    """A path as it is written in messages: ``users[3].email``."""
    text = ""
    for part in path:
        if part.isidentifier():
            text += f".{part}" if text else part
        elif part.startswith("["):
            text += part
        else:
            text += f"[{part}]" if text else part
    return text or "the state"


def compare(before: object, after: object, ignore: Iterable[Ignore] = ()) -> list[Change]:
    """All changes from one frozen state (see `snapshots.frozen`) to another, in order of their paths.

    Args:
        before: as it was.
        after: as it is.
        ignore: what may differ.
    """
    found: list[Change] = []
    _compare((), before, after, tuple(ignore), found)
    return found


def _compare(path: Path, before: Any, after: Any, ignore: Sequence[Ignore], found: list[Change]) -> None:
    if before is after or (path and is_ignored(path, ignore)):
        return
    kinds: set[Any] = {type(before), type(after)}
    if kinds == {dict}:
        _compare_keys(path, before, after, ignore, found)
    elif kinds == {list}:
        _compare_lists(path, before, after, ignore, found)
    elif len(kinds) > 1 or not equal(before, after):
        found.append(Change(path, before, after))


def _compare_lists(path: Path, before: Any, after: Any, ignore: Sequence[Ignore], found: list[Change]) -> None:
    _compare_keys(path, _numbered(before), _numbered(after), ignore, found)


def _compare_keys(
    path: Path, before: Mapping[str, Any], after: Mapping[str, Any], ignore: Sequence[Ignore], found: list[Change]
) -> None:
    for key in [*before, *(key for key in after if key not in before)]:
        _compare((*path, key), before.get(key, ABSENT), after.get(key, ABSENT), ignore, found)


def _numbered(items: object) -> dict[str, Any]:
    listed: Any = items
    return {f"[{place}]": item for place, item in enumerate(listed)}


def equal(before: object, after: object) -> bool:
    """Whether two values of frozen pictures are the same; not a number is what not a number is."""
    one, other = cast("Any", before), cast("Any", after)
    try:
        return bool(one == other) or bool(one != one and other != other)  # not a number
    except Exception:  # of a type whose objects cannot be compared as a whole, such as arrays
        return _written(one) == _written(other)


def _written(value: object) -> object:
    try:
        return pickle.dumps(value)
    except Exception:  # pickling raises whatever it likes
        return repr(value)


def is_ignored(path: Path, ignore: Sequence[Ignore]) -> bool:
    """Whether what a path leads to may differ."""
    return any(_ignored(path, each) for each in ignore)


def _ignored(path: Path, ignore: Ignore) -> bool:
    if callable(ignore):
        return ignore(path)
    places = range(len(path))
    return any(fnmatchcase(".".join(path[start : end + 1]), ignore) for start in places for end in places[start:])


def concerns(one: Path, other: Path) -> bool:
    """Whether one of two paths leads through the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def value_at(picture: object, path: Sequence[str]) -> object:
    """What a frozen picture shows at a path, or `ABSENT`."""
    for part in path:
        if isinstance(picture, list) and part.strip("[]").isdigit():
            items: list[object] = picture  # pyright: ignore[reportUnknownVariableType] - of anything
            place = int(part.strip("[]"))
            picture = items[place] if place < len(items) else ABSENT
        elif isinstance(picture, dict):
            # A dict of anything:
            picture = picture.get(part, ABSENT)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] - of anything
        else:
            return ABSENT
    return picture  # pyright: ignore[reportUnknownVariableType] - a part of anything


def render(changes: Sequence[Change], limit: int = 20) -> list[str]:
    """The lines that show changes, by system; `+` was added, `-` was removed, `~` was changed."""
    lines: list[str] = []
    for number, change in enumerate(changes):
        if number == limit:
            lines.append(f"  ... and {len(changes) - limit} more")
            break
        lines.append(f"  {change}")
    return lines
