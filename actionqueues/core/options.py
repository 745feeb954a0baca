"""The options of `@action`: checked, and put into a `Definition`.

Stands on definitions and policies.  Used by `@action`.
"""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import Any

from actionqueues.retry import check_policy, is_made_policy

from .definition import DEFINITIONS, Definition, definition_behind
from .signature import display_name, is_async, lazy_kind

__all__ = ["OPTIONS", "checked", "define"]

OPTIONS: dict[str, Any] = {
    "retry": None,
    "irreversible": False,
    "read_only": False,
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
    for flag in ("irreversible", "read_only", "transaction_required"):
        if not isinstance(options.get(flag, False), bool):
            raise TypeError(f"@action({flag}=...) must be True or False, not {options[flag]!r}")
    if options.get("irreversible") and options.get("read_only"):
        raise TypeError("@action(irreversible=True) and @action(read_only=True) exclude each other")
    timeout = options.get("timeout")
    if timeout is not None and (type(timeout) not in (int, float) or not 0 < timeout < inf):
        raise ValueError(f"@action(timeout=...) must be a number of seconds above 0, not {timeout!r}")
    name: object = options.get("name")
    aliases: object = options.get("aliases", ())
    if not isinstance(aliases, tuple | list):
        raise TypeError(f"@action(aliases=...) must be a tuple of names, not {aliases!r}")
    for each in aliases if name is None else (name, *aliases):
        if not isinstance(each, str) or not each or not each.isprintable():
            raise TypeError(f"@action(name=...) and each of aliases=(...) must be a readable text, not {each!r}")
    return {**OPTIONS, **options}


def define(function: Any, *, timeout: float | None, name: str | None, **options: Any) -> Definition:
    """The definition of an action with `checked` options, or the reason why it can be none."""
    if definition_behind(function) is not None:
        raise TypeError(f"{display_name(function)} is an action already: decorate it once")
    if not callable(function) or is_made_policy(function):
        is_property = isinstance(function, property | cached_property)
        hint = "put @action below that" if is_property else "options go by keyword: @action(retry=...)"
        raise TypeError(f"@action decorates a function, not {function!r}; {hint}")
    lazy = lazy_kind(function)
    if lazy is not None:
        when, advice = "iterated", "return a list, or make a step of each item"
        if lazy == "context manager":
            when, advice = "entered", "make a step of what it does when it is entered"
        raise TypeError(
            f"@action cannot decorate the {lazy} {display_name(function)}: its body would run when it is {when}, after "
            f"the step has ended; {advice}"
        )
    if timeout is not None and not is_async(function):
        raise TypeError(
            f"@action(timeout=...) needs an `async def`: nothing can stop the sync function {display_name(function)}; "
            "give a time-out to what it calls"
        )
    for other in [] if name is None else [each for each in DEFINITIONS if each.given_name == name]:
        module, qualname = _place(other.function)
        if (module, qualname) != _place(function):  # and not from the same module, loaded again
            raise ValueError(f"@action(name={name!r}) is the name of {module}:{qualname} already; give another one")
    definition = Definition(function, name=name)
    definition.given_name, definition.timeout = name, timeout
    definition.retry, definition.aliases = options["retry"], tuple(options["aliases"])
    definition.irreversible, definition.read_only = options["irreversible"], options["read_only"]
    return definition


def _place(function: Any) -> tuple[object, object]:
    return getattr(function, "__module__", None), getattr(function, "__qualname__", None)
