"""Names of functions and classes that hold in another process: ``module:qualname``, and how they are found again.

Nothing here imports anything: a name leads to what the program has imported by itself, so that a file edited by hand
can make recovery look, and never load.

Stands on the standard library.  Used by what writes and reads names: those of actions, and those in values.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["BEYOND", "find", "module_name", "modules_called", "modules_outside", "qualified_name"]

#: What the running script is called as a module; the first only in the sandbox of Temporal, which loads it once more.
_SCRIPT = ("__temporal_main__", "__main__", "__mp_main__")


#: Where else imported modules are looked for by name, by code that runs where `sys.modules` has not all of them.
BEYOND: Final[list[Callable[[str], Any]]] = []


def module_name(module: str) -> str:
    """What a module is recorded as: the script that is ``__main__`` goes by the name it would have when imported."""
    if module not in _SCRIPT:
        return module
    # The first was loaded from a file, whatever the running one was started by.
    main = modules_outside().get("__main__") if module == _SCRIPT[0] else sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in _SCRIPT:
        return str(spec.name)  # python -m package.module
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else module


def modules_outside() -> dict[str, Any]:
    """All modules; while a sandbox of Temporal is at work, `sys.modules` is something that stands before them."""
    modules: dict[str, Any] = getattr(sys.modules, "orig", sys.modules)
    return modules


def modules_called(name: str) -> list[Any]:
    """The imported modules that are recorded as `name`: the module itself, and the running script."""
    found: list[Any] = []
    for candidate in (name, *_SCRIPT):
        module = sys.modules.get(candidate)
        if module is not None and module not in found and module_name(candidate) == name:
            found.append(module)
    return found or [module for look in BEYOND if (module := look(name)) is not None]


def qualified_name(thing: Any) -> str:
    """``module:qualname`` of a class or function."""
    return f"{module_name(thing.__module__)}:{thing.__qualname__}"


def find(name: str) -> list[Any]:
    """What stands under ``module:qualname`` in the imported modules; nothing, one thing, or two of a script."""
    module, _, qualname = name.partition(":")
    found: list[Any] = []
    for place in modules_called(module) if qualname else ():
        thing: Any = place
        for part in qualname.split("."):
            # Through `__dict__`, as attributes may be computed, and a class method would be bound.
            thing = next((vars(each)[part] for each in _places(thing) if part in vars(each)), None)
            if thing is None:
                break
        if thing is not None and not any(thing is each for each in found):
            found.append(thing)
    return found


def _places(thing: Any) -> tuple[Any, ...]:
    """Where an attribute of `thing` may be kept."""
    if isinstance(thing, type):
        return thing.__mro__
    return (thing,) if hasattr(thing, "__dict__") else ()
