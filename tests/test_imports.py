"""What can be imported by which name, in which order, and what comes along."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import actionqueues
from tests.marks import slow_but

ROOT = Path(actionqueues.__file__).parent.parent

IMPORTS = {
    "modules": "from actionqueues import actionqueue, action",
    "base": "from actionqueues.action import Action",
    "module of the base": "import actionqueues.action",
    "factory": "import actionqueues.exceptionfactory",
    "machine": "from actionqueues.aqstatemachine import AQStateMachine",
}

# What has to hold whatever was imported before, in whatever order.
CHECK = """
import actionqueues, actionqueues.action, actionqueues.exceptionfactory, sys
from actionqueues import actionqueue, action
from actionqueues.action import Action
from actionqueues.aqstatemachine import AQStateMachine
class X(action.Action): pass
assert issubclass(X, Action) and isinstance(X(), actionqueues.Action)
assert action is actionqueues.action and isinstance(action, type)
assert actionqueues.action.Action is Action is actionqueues.Action is sys.modules["actionqueues.action"].Action
assert actionqueues.actionqueue.ActionQueue is actionqueue.ActionQueue is actionqueues.ActionQueue
assert actionqueue.ActionRetryException is actionqueues.ActionRetryException
assert actionqueues.exceptionfactory.DoublingBackoffExceptionFactory().raise_exception
assert actionqueues.aqstatemachine.AQStateMachine is AQStateMachine
assert action(lambda x: x + 1)(1) == 2
"""


def fresh(code: str, *options: str) -> str:
    """What a new interpreter prints that finds the package and nothing else of this project."""
    command = [sys.executable, *options, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


PERMUTE = f"""
import itertools, sys
imports, check = {list(IMPORTS.values())!r}, compile({CHECK!r}, "check", "exec")
count = 0
for order in itertools.islice(itertools.permutations(imports), 0, None, EVERY):
    for name in [name for name in sys.modules if name.partition(".")[0] == "actionqueues"]:
        del sys.modules[name]
    namespace = {{}}
    try:
        for statement in order:
            exec(statement, namespace)
        exec(check, namespace)
    except BaseException:
        print(*order, sep="; ", file=sys.stderr)
        raise
    count += 1
print(count)
"""


@pytest.mark.parametrize("every", slow_but([5, 1], 5))
def test_the_documented_imports_work_in_every_order(every: int) -> None:
    orders = len(list(itertools.permutations(IMPORTS)))
    assert int(fresh(PERMUTE.replace("EVERY", str(every)))) * every == orders == 120


@pytest.mark.parametrize("first", IMPORTS)
def test_each_documented_import_works_as_the_first_one_of_a_program(first: str) -> None:
    assert fresh(f"{IMPORTS[first]}\n{CHECK}") == ""


@pytest.mark.parametrize(
    "statement",
    [
        "from actionqueues.actionqueue import ActionQueue, ActionRetryException",
        "from actionqueues.exceptionfactory import DoublingBackoffExceptionFactory",
        "from actionqueues import actionqueue as aq, action as a, aqstatemachine, exceptionfactory",
        "import actionqueues.actionqueue as aq; aq.ActionQueue()",
        "import actionqueues.action as a; a.Action()",
        "import importlib; importlib.import_module('actionqueues.action').Action()",
        "from actionqueues.aqstatemachine import AQStateMachine_INIT, AQStateMachine_ROLLBACK_COMPLETE",
    ],
)
def test_other_spellings_of_the_same_work_before_and_after(statement: str) -> None:
    namespace: dict[str, object] = {}
    exec(statement, namespace)
    assert fresh(f"{statement}\n{CHECK}\n{statement}") == ""


def test_a_star_import_brings_the_public_names_and_no_module() -> None:
    code = "from actionqueues import *\nimport sys, json\nprint(json.dumps([k for k in vars() if k[:2] != '__']))"
    names = set(json.loads(fresh(code))) - {"sys", "json"}
    modules = {path.stem for path in Path(actionqueues.__file__).parent.glob("*.py")} - {
        "action",
        "transaction",
    }  # classes and functions of that name come first
    assert names & modules == set()
    assert {"Action", "ActionQueue", "Retry", "Step", "action", "current_step", "transaction"} <= names


@pytest.mark.parametrize("options", [(), ("-O",), ("-OO",)])
def test_nothing_is_printed_and_nothing_warns_when_it_is_imported(options: tuple[str, ...]) -> None:
    assert fresh("import actionqueues", *options) == ""


# Importing what stands in `sys.modules` as None is an ImportError.
WITHOUT = """
import sys, wrapt
for name in {unwanted!r}:
    sys.modules[name] = None
import actionqueues
from actionqueues import action, transaction
@action
def do(): return 1
@do.rollback
def undo(): pass
with transaction() as q:
    do()
    q.add(do)
    q.on_commit(print, "committed")
try:
    with transaction():
        do()
        raise KeyError
except KeyError:
    print("rolled back")
"""


@pytest.mark.parametrize(
    "unwanted",
    [
        "sqlite3", "asyncio", "logging", "random", "signal", "json", "unittest", "typing_extensions",
        "trio", "anyio", "pytest", "hypothesis", "dbos", "temporalio",
    ],
)  # fmt: skip
def test_the_package_does_without(unwanted: str) -> None:
    assert fresh(WITHOUT.format(unwanted=[unwanted])).split("\n") == ["committed", "rolled back", ""]


def test_the_only_third_party_module_that_comes_along_is_wrapt() -> None:
    code = """
import sys
before = set(sys.modules)
import actionqueues
known = sys.stdlib_module_names | {"_missing_stdlib_info"}  # which CPython 3.15 does not list
new = {name.partition(".")[0] for name in set(sys.modules) - before} - known
print(*sorted(new))
"""
    assert fresh(code).split() == ["actionqueues", "wrapt"]


def test_an_installed_program_may_pickle_by_the_public_names() -> None:
    code = """
import pickle
from actionqueues import Retry, StepState, TransactionState, TransactionClosed
for thing in (Retry(attempts=3), StepState.DONE, TransactionState.OPEN):
    assert pickle.loads(pickle.dumps(thing)) == thing
assert b"actionqueues.retry" not in pickle.dumps(Retry())
assert str(pickle.loads(pickle.dumps(TransactionClosed("a", "b", "c")))) == str(TransactionClosed("a", "b", "c"))
"""
    assert fresh(code) == ""


def test_the_package_run_as_a_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "actionqueues", "--help"],
        env={**os.environ, "PYTHONPATH": str(Path(actionqueues.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("usage: actionqueues ")
