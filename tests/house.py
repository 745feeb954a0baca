"""The package as its own tests of how it is built see it: its files, read and parsed."""

from __future__ import annotations

import ast
import gc
import importlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import actionqueues

PACKAGE = Path(actionqueues.__file__).parent


def name_of(path: Path) -> str:
    """The name of a module inside the package; `__init__` is the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def has_what_it_stands_on(name: str) -> bool:
    """Whether the extra of an adapter is installed."""
    adapted = {"engines.dbos": "dbos", "engines.temporal": "temporalio"}
    return all(find_spec(theirs) is not None for ours, theirs in adapted.items() if name.startswith(ours))


# What pytest loads is installed beside the package.
FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if "entry_point" not in path.parts}
CORE = [name for name in FILES if name.startswith("core.")]
PACKAGES = {name for name, path in FILES.items() if path.name == "__init__.py"}
#: Those that can be asked what they define.
MODULES = [name for name in FILES if name not in PACKAGES and name != "__main__" and has_what_it_stands_on(name)]


def load(name: str) -> ModuleType:
    return importlib.import_module(f"actionqueues.{name}".removesuffix(".__init__"))


@cache
def text(name: str) -> str:
    return FILES[name].read_text(encoding="utf-8")


@cache
def tree(name: str) -> ast.Module:
    # Not while garbage is collected: what is logged of a lost task has the lines of its traceback parsed, for which
    # CPython 3.11 ends the parsing that it has interrupted with a SystemError.
    gc.disable()
    try:
        return ast.parse(text(name))
    finally:
        gc.enable()


def lines(name: str) -> int:
    return len(text(name).splitlines())


def within(name: str, *folders: str) -> bool:
    """Whether a module is in one of these folders."""
    return name.partition(".")[0] in folders


def absolute(name: str, node: ast.ImportFrom) -> str:
    """The module that is named in it, inside the package; "" is the package itself."""
    if not node.level:
        return (node.module or "").removeprefix("actionqueues").removeprefix(".")
    parts = name.split(".") if name != "__init__" else []
    kept = len(parts) - node.level + (name in PACKAGES and name != "__init__") if parts else 0
    return ".".join([*parts[:kept], *filter(None, [node.module])])


def is_own(node: ast.ImportFrom) -> bool:
    return bool(node.level) or (node.module or "").partition(".")[0] == "actionqueues"
