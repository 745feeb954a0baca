"""What modules, classes and objects are called and say of themselves: `__all__`, docstrings, and what `dir` shows."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator
from typing import Any, ParamSpec, TypeVar

import actionqueues
from actionqueues import Step, action, transaction

from .house import CORE, FILES, MODULES, absolute, has_what_it_stands_on, is_own, load, text, tree, within

#: What users find in an open block.
Q = [
    "add",
    "execute",
    "mark",
    "name",
    "on_commit",
    "on_rollback",
    "plan",
    "report",
    "rollback",
    "run",
    "savepoint",
    "state",
]

#: What users find in a step.
STEP = [
    "args",
    "arguments",
    "attempts",
    "error",
    "has_result",
    "key",
    "kwargs",
    "later",
    "name",
    "result",
    "save",
    "saved",
    "state",
    "undo_key",
]


# -- names


def in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


#: Those that say in `__all__` what users may import; inside `core/`, a name without an underscore is enough.
LISTING = [name for name in MODULES if not within(name, "core")]


def public(name: str) -> set[str]:
    """What other modules may take from this one."""
    return set(load(name).__all__) if name in LISTING else defined(name)


def test_all_is_sorted_and_has_no_name_twice() -> None:
    listed: dict[str, list[str]] = {name: load(name).__all__ for name in [*LISTING, "__init__", "journal", "testing"]}
    assert {name: names for name, names in listed.items() if names != sorted(set(names), key=in_order)} == {}


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
        if not found_name.startswith("_") and not isinstance(getattr(module, found_name, None), TypeVar | ParamSpec)
    }


def test_all_agrees_with_what_a_module_defines() -> None:
    wrong: dict[str, list[str]] = {}
    for name in LISTING:
        module = load(name)
        missing = [public for public in module.__all__ if not hasattr(module, public)]
        missing += sorted(defined(name) - set(module.__all__))
        if missing:
            wrong[name] = missing
    assert wrong == {}


def test_a_module_takes_only_public_names_from_others() -> None:
    private = [
        f"{name}: {module}.{alias.name}"
        for name in filter(has_what_it_stands_on, FILES)
        for node in ast.walk(tree(name))
        if isinstance(node, ast.ImportFrom) and is_own(node)
        for alias in node.names
        if (module := absolute(name, node))
        and f"{module}.{alias.name}" not in FILES
        and alias.name not in (public(module) if module in MODULES else load(module).__all__)
    ]
    assert private == []


def imported_by_the_package() -> list[ast.alias]:
    return [alias for node in tree("__init__").body if isinstance(node, ast.ImportFrom) for alias in node.names]


PUBLIC = sorted({alias.name for alias in imported_by_the_package()})


def test_the_package_offers_exactly_what_it_imports() -> None:
    imported = imported_by_the_package()
    assert [alias.name for alias in imported] == [alias.asname or alias.name for alias in imported]
    assert sorted(load("__init__").__all__) == PUBLIC


def test_a_public_class_says_the_name_that_users_import() -> None:
    for name in PUBLIC:
        public = getattr(actionqueues, name)
        if isinstance(public, type):
            assert public.__module__ == "actionqueues", name
        else:
            assert callable(public), name


def classes() -> Iterator[type]:
    for name in MODULES:
        for thing in vars(load(name)).values():
            if isinstance(thing, type) and thing.__module__ in ("actionqueues", f"actionqueues.{name}"):
                yield thing


def test_a_class_that_says_it_is_of_the_package_can_be_found_there() -> None:
    lost = {cls.__qualname__ for cls in classes() if cls.__module__ == "actionqueues" and cls.__qualname__[0] != "_"}
    assert {name for name in lost if not hasattr(actionqueues, name)} == set()


# -- what users see of an object


def shown(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


def test_an_open_block_shows_what_is_documented_and_no_more() -> None:
    seen: list[list[str]] = [shown(transaction())]
    with transaction() as q:
        seen.append(shown(q))
        with q.savepoint() as inner:
            seen.append(shown(inner))
    seen.append(shown(q))

    async def main() -> None:
        async with transaction() as q:
            seen.append(shown(q))
            async with q.savepoint() as inner:
                seen.append(shown(inner))

    asyncio.run(main())
    assert len(Q) <= 16
    assert seen == [Q] * 6


def test_an_action_shows_what_belongs_to_it() -> None:
    @action
    def put() -> None: ...

    assert {"landed", "rollback"} <= set(dir(put))


def test_a_step_shows_what_is_documented_and_no_more() -> None:
    made: list[Any] = []
    with transaction() as q:
        made.append(q.add(list))
    assert shown(Step) == shown(made[0]) == STEP


# -- docstrings


def test_a_report_shows_what_is_documented_and_no_more() -> None:
    with transaction() as q:
        pass
    lists = {
        "failures",
        "conflicts",
        "skipped",
        "not_undone",
        "abandoned",
        "dropped",
        "undone",
        "left",
        "steps",
        "steps_known",
    }
    hooks_and_journal = {"hooks", "hook_failures", "hooks_not_run", "journal_failures", "never_awaited"}
    hooks_and_journal |= {"id", "reason", "origin"}
    told = {"name", "kind", "state", "failed", "clean", "outcomes", "summary", "error", "started", "ended"}
    forms = {"as_dict", "from_dict", "to_text", "to_svg", "to_mermaid", "to_html"}
    assert set(shown(q.report)) == told | forms | lists | hooks_and_journal


def test_the_docstring_of_a_module_begins_with_a_sentence() -> None:
    firsts = {name: (ast.get_docstring(tree(name)) or "").partition("\n")[0] for name in FILES}
    assert {name: first for name, first in firsts.items() if not first.endswith((".", ":"))} == {}


def test_a_module_of_the_core_says_what_it_stands_on_and_what_uses_it() -> None:
    said = {name: ast.get_docstring(tree(name)) or "" for name in CORE}
    assert [name for name, doc in said.items() if not ("Stands on" in doc and "Used by" in doc)] == []


def undocumented(name: str) -> Iterator[str]:
    module = load(name)
    for public in defined(name):
        thing = getattr(module, public, None)
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and not inspect.getdoc(thing):
            yield f"{name}.{public}"
        if not inspect.isclass(thing):
            continue
        if thing.__doc__ is None:
            yield f"{name}.{public}: inherited only"
        for attribute, value in vars(thing).items():
            method = getattr(value, "__func__", value)
            documentable = inspect.isfunction(method) or isinstance(method, property)
            # An override does what the method that it overrides says, in whose class `getdoc` finds it.
            overrides = any(attribute in vars(base) for base in thing.__mro__ if base.__module__ == "builtins")
            if documentable and attribute[0] != "_" and not overrides and not inspect.getdoc(getattr(thing, attribute)):
                yield f"{name}.{public}.{attribute}"


def test_everything_public_has_a_docstring() -> None:
    assert sorted(each for name in MODULES for each in undocumented(name)) == []


def test_a_docstring_starts_with_one_sentence() -> None:
    for name in PUBLIC:
        first = (getattr(actionqueues, name).__doc__ or "").strip().partition("\n\n")[0]
        assert first.rstrip().endswith((".", "::")), name


# -- asserts


def test_an_assert_only_tells_type_checkers_what_is_not_none() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name in FILES
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Assert)
        and not (
            ast.unparse(node.test).endswith(" is not None")
            and "# noqa: S101 - " in text(name).splitlines()[node.lineno - 1]  # it needs its reason
        )
    ]
    assert wrong == []
