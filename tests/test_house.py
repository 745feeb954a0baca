"""How the package is built: small files in one order, names that agree, and no assert that callers could notice."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

import pytest

import actionqueues

PACKAGE = Path(actionqueues.__file__).parent
PROJECT = PACKAGE.parent / "pyproject.toml"
# A subpackage of its own has house rules of its own; what pytest loads is installed beside the package.
FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if not {"journal", "entry_point"} & set(path.relative_to(PACKAGE).parts)
)

# Each module imports from those above it only.
ORDER = [
    "errors",
    "telling",
    "states",
    "retry",
    "attempts",
    "requests",
    "frames",
    "concurrency",
    "cancelling",
    "signature",
    "step",
    "handler",
    "definition",
    "interceptor",
    "report",
    "interrupts",
    "locks",
    "turns",
    "owner",
    "running",
    "probing",
    "engine",
    "failing",
    "hooks",
    "drivers",
    "placing",
    "runner",
    "lanes",
    "queueing",
    "aqstatemachine",
    "actionqueue",
    "exceptionfactory",
    "options",
    "action",
    "blockstate",
    "block",
    "decorated",
    "shells",
    "asyncshell",
    "opened",
    "observing",
    "transactions",
    "__init__",
    "cli",
    "__main__",
    "testing.differences",
    "testing.snapshots",
    "testing.tables",
    "testing.faults",
    "testing.waiting",
    "testing.chaining",
    "testing.record",
    "testing.injector",
    "testing.helpers",
    "testing.standins",
    "testing.handlers",
    "testing.diagnosis",
    "testing.outcomes",
    "testing.matrix",
    "testing.restoring",
    "testing.children",
    "testing.playing",
    "testing.crashing",
    "testing.sweeping",
    "testing.entry",
    "testing.__init__",
    "pytest_plugin",
]

# What a module imports only once it is used.
LAZY = {"transactions": {"journal"}, "cli": {"journal"}}

MODULES = [name for name in ORDER if not name.endswith(("__init__", "__main__"))]
each_module = pytest.mark.parametrize("name", MODULES)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"actionqueues.{name}".removesuffix(".__init__"))


def tree(name: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))


def walk_at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield from walk_at_run_time(other)
        else:
            yield from walk_at_run_time(child)


def own_imports(name: str) -> set[str]:
    """The modules of this package that a module imports, anywhere in it."""
    found: set[str] = set()
    package = "testing." if name.startswith("testing.") else ""
    for node in walk_at_run_time(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("actionqueues")}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found |= {f"{package}{module}" for module in ([node.module] if node.module else names_in(node))}
        elif isinstance(node, ast.ImportFrom) and node.module == "actionqueues":
            found |= names_in(node)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("actionqueues."):
            found.add(node.module.removeprefix("actionqueues."))
    return found


def names_in(node: ast.ImportFrom) -> set[str]:
    return {alias.name for alias in node.names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_of_the_package_is_under_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


def test_the_order_names_each_module_once() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_a_module_imports_only_from_those_above_it(name: str) -> None:
    assert own_imports(name) - set(ORDER[: ORDER.index(name)]) - LAZY.get(name, set()) == set()


def test_the_order_would_notice_an_import_upwards() -> None:
    assert "transactions" in own_imports("__init__")
    assert {"errors", "states"} <= own_imports("step")
    assert "engine" not in own_imports("step"), "it is for type checkers only"


# -- names


def in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", ORDER)
def test_all_is_sorted_and_has_no_name_twice(name: str) -> None:
    names: list[str] = load(name).__all__
    assert names == sorted(set(names), key=in_order)


def defined(name: str) -> set[str]:
    """The public names that a module defines: functions, classes, constants; no imports, no type variables."""
    found: set[str] = set()
    for node in tree(name).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}
    module = load(name)
    return {
        found_name
        for found_name in found
        if not found_name.startswith("_") and not isinstance(getattr(module, found_name), TypeVar | ParamSpec)
    }


@each_module
def test_all_agrees_with_what_a_module_defines(name: str) -> None:
    module = load(name)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
    assert defined(name) - set(module.__all__) == set()


@pytest.mark.parametrize("name", ORDER)
def test_a_module_takes_only_public_names_from_others(name: str) -> None:
    private = [
        f"{node.module}.{alias.name}"
        for node in walk_at_run_time(tree(name))
        if isinstance(node, ast.ImportFrom) and node.level and node.module
        for alias in node.names
        if alias.name not in load("testing." * name.startswith("testing.") + node.module).__all__
    ]
    assert private == []


def test_the_package_offers_exactly_what_it_imports() -> None:
    imported = [alias for node in tree("__init__").body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert [alias.name for alias in imported] == [alias.asname or alias.name for alias in imported]
    assert sorted(load("__init__").__all__) == sorted(alias.name for alias in imported)


PUBLIC = sorted(
    {alias.name for node in tree("__init__").body if isinstance(node, ast.ImportFrom) for alias in node.names}
)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_class_says_the_name_that_users_import(name: str) -> None:
    public = getattr(actionqueues, name)
    if isinstance(public, type):
        assert public.__module__ == "actionqueues"
    else:
        assert callable(public)


def classes() -> Iterator[type]:
    for name in MODULES:
        for thing in vars(load(name)).values():
            if isinstance(thing, type) and thing.__module__ in ("actionqueues", f"actionqueues.{name}"):
                yield thing


def test_a_class_that_says_it_is_of_the_package_can_be_found_there() -> None:
    lost = {cls.__qualname__ for cls in classes() if cls.__module__ == "actionqueues" and cls.__qualname__[0] != "_"}
    assert {name for name in lost if not hasattr(actionqueues, name)} == set()


# -- docstrings


@pytest.mark.parametrize("name", ORDER)
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert (load(name).__doc__ or "").partition("\n")[0]


def undocumented(name: str) -> Iterator[str]:
    module = load(name)
    for public in defined(name):
        thing = getattr(module, public)
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and not inspect.getdoc(thing):
            yield public
        if not inspect.isclass(thing):
            continue
        if thing.__doc__ is None:
            yield f"{public}: inherited only"
        for attribute, value in vars(thing).items():
            method = getattr(value, "__func__", value)
            documentable = inspect.isfunction(method) or isinstance(method, property)
            # An override does what the method that it overrides says, in whose class `getdoc` finds it.
            overrides = any(attribute in vars(base) for base in thing.__mro__ if base.__module__ == "builtins")
            if documentable and attribute[0] != "_" and not overrides and not inspect.getdoc(getattr(thing, attribute)):
                yield f"{public}.{attribute}"


@each_module
def test_everything_public_has_a_docstring(name: str) -> None:
    assert sorted(undocumented(name)) == []


def test_a_docstring_starts_with_one_sentence() -> None:
    for name in PUBLIC:
        first = (getattr(actionqueues, name).__doc__ or "").strip().partition("\n\n")[0]
        assert first.rstrip().endswith((".", "::")), name


# -- asserts


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_assert_only_tells_type_checkers_what_is_not_none(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Assert):
            assert ast.unparse(node.test).endswith(" is not None")
            assert "# noqa: S101 - " in lines[node.lineno - 1], "it needs its reason"


# -- the project


def test_the_installed_version_is_the_one_of_the_project() -> None:
    if not PROJECT.is_file():
        pytest.skip("the tests run against an installed package, away from its project")
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    try:
        metadata = importlib.metadata.metadata("actionqueues")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed here, so it has no metadata")
    assert metadata["Version"] == project["version"] == "1.0.0"
    assert metadata["Requires-Python"] == project["requires-python"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
