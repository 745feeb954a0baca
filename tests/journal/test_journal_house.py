"""How the journal is built: like the rest of the package, and apart from it."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import actionqueues.journal as package

FOLDER = Path(package.__file__).parent

# Each module imports from those above it only.
ORDER = [
    "errors",
    "modules",
    "serializer",
    "schema",
    "wal",
    "opening",
    "ownership",
    "forking",
    "store",
    "values",
    "names",
    "rows",
    "recording",
    "restoring",
    "recovery",
    "inspecting",
    "resolving",
    "marking",
    "journal",
    "__init__",
]
PUBLIC = sorted(package.__all__)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"actionqueues.journal.{name}") if name != "__init__" else package


def tree(name: str) -> ast.Module:
    return ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))


def imports(name: str) -> list[ast.ImportFrom]:
    checked = [node for node in tree(name).body if not ast.unparse(node).startswith("if TYPE_CHECKING:")]
    return [node for part in checked for node in ast.walk(part) if isinstance(node, ast.ImportFrom)]


def test_the_order_names_each_module_once() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize(
    "path", sorted([*FOLDER.glob("*.py"), *Path(__file__).parent.glob("*.py")]), ids=lambda path: path.name
)
def test_a_file_is_under_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("name", ORDER)
def test_a_module_imports_only_from_those_above_it(name: str) -> None:
    own = {node.module or alias.name for node in imports(name) if node.level for alias in node.names}
    assert own - set(ORDER[: ORDER.index(name)]) == set()


@pytest.mark.parametrize("name", ORDER)
def test_a_module_takes_only_public_names_from_others(name: str) -> None:
    taken = [
        f"{node.module}.{alias.name}"
        for node in imports(name)
        if (node.level and node.module) or (node.module or "").startswith("actionqueues")
        for alias in node.names
        if alias.name
        not in importlib.import_module(f"{'actionqueues.journal.' * bool(node.level)}{node.module}").__all__
    ]
    assert taken == []


@pytest.mark.parametrize("name", ORDER)
def test_all_is_sorted_and_agrees_with_what_a_module_defines(name: str) -> None:
    module = load(name)

    def key(public: str) -> tuple[int, str]:
        return (0 if public.isupper() else 1 if public[0].isupper() else 2), public

    assert module.__all__ == sorted(set(module.__all__), key=key)
    made = [node.name for node in tree(name).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert {each for each in made if each[0] != "_"} <= set(module.__all__)


@pytest.mark.parametrize("name", ORDER)
def test_everything_public_has_a_docstring(name: str) -> None:
    module = load(name)
    assert module.__doc__
    missing: list[str] = []
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            missing += [] if inspect.getdoc(thing) else [public]
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                documentable = inspect.isfunction(value) or isinstance(value, property)
                if documentable and attribute[0] != "_" and not inspect.getdoc(getattr(thing, attribute)):
                    missing.append(f"{public}.{attribute}")
    assert missing == []


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_class_says_the_name_that_users_import(name: str) -> None:
    public = getattr(package, name)
    assert not isinstance(public, type) or public.__module__ == "actionqueues.journal"


def test_an_error_survives_pickling() -> None:
    import pickle

    for error in (
        package.JournalError("a.db", "why"),
        package.JournalCorrupt("a.db", "why"),
        package.NotRecordable("a.db", "why", "what", "type"),
        package.NotRestorable("a.db", "why"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), "journal 'a.db': why", vars(error))
