"""Options that are checked by name: a wrong one is refused with the one that may have been meant.

Stands on nothing.  Used by what takes options.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from math import inf
from typing import Any, TypeVar, cast

__all__ = ["check_flag", "check_options", "check_seconds", "did_you_mean", "known_options"]

F = TypeVar("F", bound=Callable[..., object])


def check_flag(what: str, given: object) -> None:
    """Refuse what is neither True nor False, such as a text that was read from a file."""
    if not isinstance(given, bool):
        raise TypeError(f"{what} must be True or False, not {given!r:.80}")


def check_options(what: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse an option that there is not, and name the one that may have been meant."""
    for name in given:
        if name not in known:
            meant = did_you_mean(name, known)
            raise TypeError(f"{what} has no option {name!r}{meant}; its options are {', '.join(known)}")


def check_seconds(given: object, what: str) -> None:
    """Refuse what is neither None nor a time after which something can be given up."""
    if given is not None and (type(given) not in (int, float) or not 0 < cast("float", given) < inf):
        raise ValueError(f"{what} must be a number of seconds above 0, not {given!r}")


def did_you_mean(name: str, known: Collection[str], least: float = 0.6) -> str:
    """Which of the known names may have been meant, to be added to a message; empty if none is `least` alike."""
    from difflib import get_close_matches  # here, since nobody needs it twice

    close = get_close_matches(name, known, 1, least)
    return f" (did you mean {close[0]!r}?)" if close else ""


def known_options(what: str) -> Callable[[F], F]:
    """Check the keywords of a call of `what`."""

    def decorate(function: F) -> F:
        code: Any = cast("Any", function).__code__
        known = code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]
        known = [name for name in known if name != "self"]

        @wraps(function)
        def checked(*args: Any, **options: Any) -> object:
            check_options(what, options, known)
            return function(*args, **options)

        return cast("F", checked)

    return decorate
