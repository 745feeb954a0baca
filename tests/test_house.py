"""How the package is built: small files in one order, and means that it does without."""

from __future__ import annotations

import ast
import graphlib
import importlib
import importlib.metadata
import inspect
import re
import tomllib
from collections.abc import Iterator

import pytest

import actionqueues

from .house import FILES, PACKAGE, absolute, is_own, lines, tree, within

PROJECT = PACKAGE.parent / "pyproject.toml"

#: What a module imports only once it is used, though that stands on it: (module, package).
LAZY = {
    ("transaction", "engines"),
    ("transaction", "journal"),
    ("report", "views"),
    ("core.plan", "views"),
    ("cli.deciding", "journal"),
    ("cli.naming", "journal"),
    ("cli.operating", "journal"),
    ("cli.pages", "journal"),
    ("cli.recovering", "journal"),
    ("cli.showing", "journal"),
    ("cli.watching", "journal"),
    ("cli.serving", "serve"),
}

#: What of `core/` the journal and the fault sweeps use, and so has to stay: fill in what the test below prints.
CORE_NAMES = [
    "attempts",
    "attempts.Attempts",
    "current.running_step",
    "definition.Definition",
    "definition.all_definitions",
    "definition.definition_behind",
    "definition.function_of",
    "drivers",
    "drivers.drive",
    "drivers.drive_async",
    "engine.Rollback",
    "entries.StepReport",
    "handler.Handler",
    "hooks.Durable",
    "hooks.Held",
    "hooks.HookRun",
    "log.Owner",
    "log.get_current",
    "log.new_log",
    "log.set_current",
    "log.undoing",
    "queue.definition_of",
    "queue.undo_record",
    "requests.Await",
    "requests.Call",
    "requests.Engine",
    "requests.Request",
    "requests.Shielded",
    "signature.code_of",
    "signature.display_name",
    "signature.is_async",
    "signature.signature_of",
    "states.StepState",
    "states.TransactionState",
    "step.DEFINITION",
    "step.OUTCOME",
    "step.PENDING",
    "step.Record",
    "step.Step",
    "step.VALUES",
    "tasks.Signal",
    "tasks.in_trio",
    "tasks.running_loop",
    "tasks.running_task",
    "tasks.shielded",
    "tasks.sleep",
    "telling.log_rolled_back",
    "text.first_of",
    "options.check_flag",
    "options.did_you_mean",
    "options.known_options",
    "text.listed",
    "text.log_error",
    "text.log_warning",
    "text.one_line",
    "text.raise_late",
    "text.shown",
    "watch",
    "watch.Hook",
    "watch.Passing",
    "watch.SEAM",
    "watch.Watch",
    "watch.ask",
    "watch.observed",
]

# -- sizes


def test_at_most_16_files_are_at_the_root() -> None:
    found = sorted(path.name for path in PACKAGE.iterdir() if path.is_file())
    assert len(found) <= 16, found


def test_a_file_of_the_package_is_under_400_lines() -> None:
    assert {name: lines(name) for name in FILES if lines(name) >= 400} == {}


def test_the_core_does_not_grow() -> None:
    assert sum(lines(name) for name in FILES if within(name, "core")) < 8000


def test_the_package_without_what_is_around_it_does_not_grow() -> None:
    around = ("agents", "journal", "testing", "engines", "views", "tracing", "cli", "serve", "__main__")
    assert sum(lines(name) for name in FILES if not within(name, *around)) < 10900


# -- the order of imports


def imports_of(name: str, node: ast.AST) -> Iterator[str]:
    """The modules of this package that it imports, anywhere in it: also for type checkers, and in functions."""
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            for alias in each.names:
                first, _, rest = alias.name.partition(".")
                if first == "actionqueues":
                    yield rest or "__init__"
        elif isinstance(each, ast.ImportFrom) and is_own(each):
            module = absolute(name, each)
            for alias in each.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                # In `from actionqueues import action`, that is a class: a module of its name is asked for by a dot.
                is_module = inner in FILES and (module or alias.name not in actionqueues.__all__)
                yield inner if is_module else module or "__init__"


def graph() -> dict[str, set[str]]:
    """What each module imports."""
    found: dict[str, set[str]] = {}
    for name in FILES:
        imported = {other for other in imports_of(name, tree(name)) if other != name}
        lazy = {package for module, package in LAZY if module == name}
        found[name] = {other for other in imported if not within(other, *lazy)}
    return found


def order_of(imported: dict[str, set[str]]) -> list[str]:
    """All of them, each behind what it imports."""
    try:
        return list(graphlib.TopologicalSorter(imported).static_order())
    except graphlib.CycleError as error:
        circle = " imports ".join(reversed(error.args[1]))
        raise AssertionError(f"there is a circle: {circle}") from None


def test_imports_go_downwards_without_a_circle() -> None:
    order = order_of(graph())
    assert set(order) == set(FILES), "what is imported is there"


def test_a_circle_is_named() -> None:
    with pytest.raises(AssertionError, match=r"there is a circle: (a imports b imports a|b imports a imports b)$"):
        order_of({"a": {"b"}, "b": {"a"}, "c": {"a"}})


def test_an_import_is_seen_wherever_it_stands() -> None:
    source = """
        import actionqueues.retry
        from .. import errors
        from ..report import Report
        from .step import Step
        from . import log
        from actionqueues import Action
        from actionqueues.core import states
        if TYPE_CHECKING:
            from .watch import Watch
        def function():
            from ..transaction import transaction
    """
    found = set(imports_of("core.step", ast.parse(inspect.cleandoc(source))))
    inside = {"core.step", "core.log", "core.states", "core.watch"}
    assert found == {"retry", "errors", "report", "transaction", "__init__", *inside}
    assert set(imports_of("__init__", ast.parse("from .core.step import Step"))) == {"core.step"}
    assert set(imports_of("core", ast.parse("from .step import Step"))) == {"core.step"}


@pytest.mark.parametrize(("name", "package"), sorted(LAZY))
def test_what_is_imported_late_is_imported_in_functions_only(name: str, package: str) -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    outside = [node for node in tree(name).body if not isinstance(node, (*functions, ast.ClassDef))]
    outside += [
        each
        for node in tree(name).body
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if not isinstance(each, functions)
    ]
    at_run_time = [node for node in outside if not ast.unparse(node).startswith("if TYPE_CHECKING:")]
    assert [node.lineno for node in at_run_time if any(within(m, package) for m in imports_of(name, node))] == []
    assert any(within(module, package) for module in imports_of(name, tree(name))), "it is imported at all"


def test_the_core_and_the_root_know_nothing_of_what_is_around_them() -> None:
    around = {"agents", "journal", "testing", "engines", "views", "cli", "serve", "pytest_plugin"}
    allowed = {
        "__init__": {"views"},
        "__main__": {"cli"},
        "pytest_plugin": {"testing"},
        "core.plan": {"views"},
        "report": {"views"},
        "tracing.progressing": {"views"},
    }
    wrong = {
        name: sorted(other for other in imported if within(other, *around - allowed.get(name, set())))
        for name, imported in graph().items()
        if not within(name, "agents", "journal", "testing", "engines", "views", "cli", "serve")
    }
    assert {name: others for name, others in wrong.items() if others} == {}


def test_what_the_journal_and_the_sweeps_use_of_the_core_is_a_short_list() -> None:
    found = {
        f"{module}.{alias.name}".removeprefix("core.")
        for name in FILES
        if within(name, "journal", "testing")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.ImportFrom) and is_own(node)
        for alias in node.names
        if within(module := absolute(name, node), "core")
    }
    assert sorted(found) == sorted(CORE_NAMES)


# -- means that it does without

#: Looking at stacks and at what others hold, private parts of asyncio, and finalizers that matter.
NEVER = {
    "_getframe",
    "_current_frames",
    "f_locals",
    "f_back",
    "cr_await",
    "cr_frame",
    "gi_frame",
    "ag_frame",
    "get_referents",
    "get_referrers",
    "__del__",
    "_unregister_task",
    "_get_running_loop",
    "_fut_waiter",
    "_children",
    "_current_tasks",
}
#: One file each, which says what it buys.
ALLOWED = {"core.frames", "core.interrupts"}


def means(node: ast.AST) -> Iterator[str]:
    """What it uses of these: names, attributes, whole strings (as `getattr` is given), and new classes of objects."""
    for each in ast.walk(node):
        line = getattr(each, "lineno", 0)
        used: str | None = None
        match each:
            case ast.Attribute(attr=attr):
                used = attr
                first = ast.unparse(each.value).partition(".")[0]
                if first == "asyncio" and re.fullmatch(r"_[^_].*", attr):
                    yield f"{line}: {ast.unparse(each)}"
                    continue
            case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.alias(name=name):
                used = name
            case ast.Constant(value=str(value)):
                used = value
            case ast.ImportFrom(module=str(module), names=names, level=0) if module.partition(".")[0] == "asyncio":
                for alias in names:
                    if alias.name.startswith("_"):
                        yield f"{line}: {module}.{alias.name}"
            case _:
                pass
        if used in NEVER:
            yield f"{line}: {used}"
        if isinstance(each, ast.Attribute) and each.attr == "__class__" and isinstance(each.ctx, ast.Store):
            yield f"{line}: {ast.unparse(each)} ="


def test_no_module_finds_out_by_clever_means_what_could_be_written_down() -> None:
    found = {name: list(means(tree(name))) for name in FILES if name not in ALLOWED}
    assert {name: used for name, used in found.items() if used} == {}


@pytest.mark.parametrize(
    "source",
    [
        "sys._getframe(1)",
        "getattr(coroutine, 'cr_await')",
        "self.__class__ = Other",
        "asyncio.tasks._enter_task(loop, task)",
        "from asyncio.tasks import _enter_task",
        "from asyncio import _get_running_loop",
        "gc.get_referents(task)",
        "class A:\n    def __del__(self): ...",
    ],
)
def test_the_search_for_such_means_finds(source: str) -> None:
    assert list(means(ast.parse(source))) != []


def test_the_search_for_such_means_lets_others_pass() -> None:
    source = '"""Without f_locals."""\nasyncio.current_task()\nself.__class__\nasyncio.__name__\nself._tasks'
    assert list(means(ast.parse(source))) == []


def test_only_the_drivers_wait() -> None:
    """What is decided asks them to; `tasks` has their means, and `frames` asks which task is running."""
    means_of_waiting = {"sleep", "Event", "Condition", "Lock", "asyncio", "trio"}
    found = {
        name
        for name in FILES
        if within(name, "core")
        for node in ast.walk(tree(name))
        if isinstance(node, (ast.Import, ast.ImportFrom)) and means_of_waiting & {alias.name for alias in node.names}
    }
    assert found == {"core.drivers", "core.tasks", "core.frames"}


# -- the project


def test_the_installed_version_is_the_one_of_the_project() -> None:
    if not PROJECT.is_file():
        pytest.skip("the tests run against an installed package, away from its project")
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    try:
        metadata = importlib.metadata.metadata("actionqueues")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed here, so it has no metadata")
    assert metadata["Version"] == project["version"]
    assert metadata["Requires-Python"] == project["requires-python"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
