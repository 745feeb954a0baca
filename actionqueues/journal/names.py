"""The names of actions: what a step is recorded as, and which action that is in the process that recovers.

Stands on definitions, and on the names of modules.  Used by the recording, and by what makes steps again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from actionqueues.core.definition import Definition, all_definitions, definition_behind, function_of

from .errors import NotRecordable, NotRestorable
from .locks import Lock
from .marking import DurableFunction
from .modules import find, module_name

__all__ = ["definition_of_function", "function_called", "missing", "name_of", "name_of_function", "named"]

#: Those that have been asked for, as long as they live: an engine may import a module again for each workflow.
_known: WeakKeyDictionary[Definition, str] = WeakKeyDictionary()
_mutex = Lock()


def _place(function: Any) -> str | None:
    """``module:qualname`` of a function, or None if it can have none."""
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or "<" in qualname:
        return None
    return f"{module_name(module)}:{qualname}"


def definition_of_function(thing: Any) -> Definition | None:
    """The definition of an action, also where it is marked as durable; None if it is none."""
    if isinstance(thing, DurableFunction):
        return definition_of_function(thing.function)
    return definition_behind(function_of(thing))


def name_of(definition: Definition, path: str) -> str:
    """What a step of an action is recorded as.

    Raises:
        NotRecordable: if it would not be found again under any name, or another action would.
    """
    known = _known.get(definition)
    if known is not None:
        return known
    name = definition.given_name or _place(definition.function)
    what = f"the action {definition.name}"
    if name is None:
        raise NotRecordable(
            path,
            f"{what} is made inside a function, so recovery would not find it; define it at module level, or give it "
            "a name: @action(name=...)",
            what,
        )
    found = named(name)
    if len(found) > 1 or found != [definition]:
        others = ", ".join(each.name for each in found if each is not definition) or "nothing"
        raise NotRecordable(
            path,
            f"{what} would be recorded as {name!r}, but there recovery would find {others}; give it a name of its own: "
            "@action(name=...)",
            what,
        )
    with _mutex:
        _known[definition] = name
    return name


def named(name: str) -> list[Definition]:
    """The actions that a recorded name may mean: one, if all is well."""
    alive = all_definitions()
    given = [each for each in alive if each.given_name == name]
    if given:
        return _newest(given)
    there = [found for thing in find(name) if (found := definition_of_function(thing)) is not None]
    known = [each for each in there if each.given_name is None]
    known += [each for each in alive if name in each.aliases and each not in known]
    return _newest(known)


def _newest(found: list[Definition]) -> list[Definition]:
    """Without those of a module that was loaded again, or that is there as a script too."""
    current = [each for each in found if each in map(definition_of_function, find(_place(each.function) or ""))]
    places = {_place(each.function) for each in found}
    return (current or found)[:1] if len(places) == 1 and None not in places else found


def name_of_function(function: Callable[..., object], path: str) -> str:
    """What a function that recovery is to call is recorded as: an action, or one marked as `durable`.

    Raises:
        NotRecordable: if it is neither.
    """
    definition = definition_of_function(function)
    if definition is not None:
        return name_of(definition, path)
    if isinstance(function, DurableFunction):
        name = _place(function)
        if name is not None and any(thing is function for thing in find(name)):
            return name
    label = getattr(function, "__qualname__", None) or repr(function)
    raise NotRecordable(
        path,
        f"{label} may not be called by recovery, which calls actions and functions that are marked; define it at "
        "module level, and put @durable (of actionqueues.journal) above it",
        str(label),
    )


def function_called(name: str, path: str) -> Callable[..., Any]:
    """The function behind a recorded name of that kind.

    Raises:
        NotRestorable: if there is none that recovery may call.
    """
    for thing in find(name):
        if isinstance(thing, DurableFunction) and definition_of_function(thing) is None:
            made: Callable[..., Any] = thing
            return made
    found = named(name)
    if len(found) != 1:
        raise missing(name, len(found), path)
    function: Callable[..., Any] = found[0].function
    return function


def missing(name: str, count: int, path: str) -> NotRestorable:
    """What is raised if a name leads to no action, or to several."""
    if count:
        return NotRestorable(
            path, f"{name!r} is the name of {count} actions; give one of them another: @action(name=...)"
        )
    if find(name):
        return NotRestorable(
            path,
            f"{name!r} is there, but it is no action, so it is not called; put @action, or @durable, above it again",
        )
    return NotRestorable(
        path,
        f"no action is called {name!r}; import the module that defines it (--import {name.partition(':')[0]}), or, if "
        f"it has been renamed, say so: @action(aliases=({name!r},))",
    )
