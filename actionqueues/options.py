"""The options of `@action`: checked, and put into a `Definition`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import inf
from typing import Any

from .definition import DEFINITIONS, Definition, definition_behind
from .retry import Policy, check_policy, is_made_policy
from .signature import display_name, is_async, lazy_kind

__all__ = ["OPTIONS", "checked", "define"]

OPTIONS: dict[str, Any] = {
    "retry": None,
    "irreversible": False,
    "transaction_required": False,
    "timeout": None,
    "name": None,
    "aliases": (),
}


def checked(**options: Any) -> dict[str, Any]:
    """All options, if those that were given exist and make sense."""
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise TypeError(f"@action has no option {unknown[0]!r}; its options are {', '.join(OPTIONS)}")
    if options.get("retry") is not None:
        check_policy(options["retry"], "@action(retry=...)")
    for name in ("irreversible", "transaction_required"):
        if not isinstance(options.get(name, False), bool):
            raise TypeError(f"@action({name}=...) must be True or False, not {options[name]!r}")
    timeout = options.get("timeout")
    if timeout is not None and (type(timeout) not in (int, float) or not 0 < timeout < inf):
        raise ValueError(f"@action(timeout=...) must be a number of seconds above 0, not {timeout!r}")
    _check_names(options.get("name"), options.get("aliases", ()))
    return {**OPTIONS, **options}


def _check_names(name: object, aliases: object) -> None:
    if isinstance(aliases, str) or not isinstance(aliases, tuple | list):
        raise TypeError(f"@action(aliases=...) must be a tuple of names, not {aliases!r}")
    for each in aliases if name is None else (name, *aliases):  # pyright: ignore[reportUnknownVariableType] - checked here
        if not isinstance(each, str) or not each or not each.isprintable():
            raise TypeError(f"@action(name=...) and each of aliases=(...) must be a readable text, not {each!r}")


def define(
    function: Any,
    *,
    retry: Policy | None,
    irreversible: bool,
    timeout: float | None,
    name: str | None,
    aliases: Sequence[str],
) -> Definition:
    """The definition of an action, or the reason why it can be none."""
    if definition_behind(function) is not None:
        raise TypeError(f"{display_name(function)} is an action already: decorate it once")
    if not callable(function) or is_made_policy(function):
        is_property = isinstance(function, property | cached_property)
        hint = "put @action below that" if is_property else "options go by keyword: @action(retry=...)"
        raise TypeError(f"@action decorates a function, not {function!r}; {hint}")
    lazy = lazy_kind(function)
    if lazy is not None:
        manager = lazy == "context manager"
        when = "entered" if manager else "iterated"
        advice = (
            "make a step of what it does when it is entered"
            if manager
            else "return a list, or make a step of each item"
        )
        raise TypeError(
            f"@action cannot decorate the {lazy} {display_name(function)}: its body would run when it is {when}, after "
            f"the step has ended; {advice}"
        )
    if timeout is not None and not is_async(function):
        raise TypeError(
            f"@action(timeout=...) needs an `async def`: nothing can stop the sync function {display_name(function)}; "
            "give a time-out to what it calls"
        )
    if name is not None:
        _refuse_second(function, name)
    definition = Definition(function, name=name)
    definition.given_name = name
    definition.aliases = tuple(aliases)
    definition.retry = retry
    definition.timeout = timeout
    definition.irreversible = irreversible
    return definition


def _refuse_second(function: Any, name: str) -> None:
    """Two actions of one name are a mistake, unless the second is the first, from a module that was loaded again."""
    place = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    for other in list(DEFINITIONS):
        theirs = getattr(other.function, "__module__", None), getattr(other.function, "__qualname__", None)
        if other.given_name == name and theirs != place:
            raise ValueError(f"@action(name={name!r}) is the name of {theirs[0]}:{theirs[1]} already; give another one")
