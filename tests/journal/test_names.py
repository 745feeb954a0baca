"""Names that hold in another process, or a refusal before the step runs that says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actionqueues import IllegalOperation, action, transaction
from actionqueues.journal import Journal, NotRecordable, durable, set_default_journal
from actionqueues.journal.modules import module_name

from . import actions
from .actions import trail


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    trail.clear()
    with Journal(tmp_path / "actions.db") as made:
        yield made


def names(journal: Journal) -> list[str]:
    return [step.name for entry in journal.transactions() for step in journal.show(entry.id).steps]


def test_an_action_is_recorded_by_module_and_qualified_name_or_by_the_one_it_was_given(journal: Journal) -> None:
    with transaction(journal=journal):
        actions.put("a")
        actions.Branch(1).sell("b")
        actions.new_name("c")
    assert names(journal) == ["tests.journal.actions:put", "tests.journal.actions:Shop.sell", "renamed"]
    assert actions.new_name.__name__ == "new_name"


def test_an_action_made_inside_a_function_is_refused_and_says_why(journal: Journal) -> None:
    @action
    def inner() -> None:
        trail.append("never")

    with (
        pytest.raises(NotRecordable, match="made inside a function.*module level.*@action"),
        transaction(journal=journal),
    ):
        inner()

    @action(name="inner of a test")
    def other() -> None:
        trail.append("ran")

    with transaction(journal=journal):
        other()
    assert trail == ["ran"]


def test_two_actions_of_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match="is the name of tests.journal.actions:new_name already"):

        @action(name="renamed")
        def another() -> None: ...


@action
def twice() -> None:
    trail.append("second")


def renamed() -> None:
    trail.append("first")


renamed.__qualname__ = "twice"  # as if there were two of them in the module
first = action(renamed)


def test_an_action_whose_name_leads_to_another_one_is_refused(journal: Journal) -> None:
    with pytest.raises(NotRecordable, match="but there recovery would find twice"), transaction(journal=journal):
        first()
    with transaction(journal=journal):
        twice()
    assert trail == ["second"]


@pytest.mark.parametrize("options", [{"name": ""}, {"name": "a\n"}, {"name": 3}, {"aliases": "x"}, {"aliases": (1,)}])
def test_a_name_is_a_readable_text(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"@action\("):
        action(**options)(lambda: None)


def test_a_method_of_an_instance_that_cannot_be_recorded_is_refused_and_says_how(journal: Journal) -> None:
    with pytest.raises(NotRecordable, match="'self' of Undeclared.do.*Undeclared"), transaction(journal=journal):
        actions.Undeclared().do()
    assert trail == []


def test_a_function_that_is_not_marked_cannot_be_a_durable_hook_or_an_undo(journal: Journal) -> None:
    with transaction(journal=journal) as q:
        with pytest.raises(NotRecordable, match="not_marked may not be called by recovery.*@durable"):
            q.on_commit(durable(actions.not_marked), "x")
        with pytest.raises(NotRecordable, match="@durable"):
            q.on_rollback(actions.not_marked, "x")
        q.on_commit(trail.append, "any function is a hook that is not durable")
    assert len(trail) == 1


def test_a_durable_hook_needs_a_journal() -> None:
    with transaction() as q, pytest.raises(TypeError, match=r"transaction\(journal=...\)"):
        q.on_commit(actions.tell, "x")


def test_only_functions_are_marked() -> None:
    with pytest.raises(TypeError, match="marks a function"):
        durable(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert durable(actions.tell) is actions.tell
    assert repr(actions.tell) == "<durable tell>"


# -- which journal


def test_blocks_with_the_same_path_share_a_journal(tmp_path: Path) -> None:
    mine = Journal(tmp_path / "shared.db", redact=("name",))
    for path in (str(tmp_path / "shared.db"), tmp_path / "x" / ".." / "shared.db"):
        with transaction(journal=path):
            actions.put("a")
    assert {step.arguments for entry in mine.transactions() for step in mine.show(entry.id).steps} == {
        '{"name": {"$redacted": "name"}}'
    }
    mine.close()


def test_a_default_journal_serves_every_transaction_that_names_none(journal: Journal, tmp_path: Path) -> None:
    set_default_journal(journal.path)
    try:
        with transaction("default"):
            actions.put("a")
        with transaction(journal=False):
            actions.put("b")

        @transaction
        def decorated() -> None:
            actions.put("c")

        decorated()
        with transaction(journal=tmp_path / "other.db"):
            actions.put("d")
    finally:
        set_default_journal(None)
    with transaction():
        actions.put("e")
    assert [entry.name for entry in journal.transactions()] == [
        "default",
        "test_a_default_journal_serves_every_transaction_that_names_none.<locals>.decorated".rpartition("<locals>.")[2],
    ]


def test_a_decorator_carries_the_journal_to_each_call(journal: Journal) -> None:
    @transaction("call", journal=journal, retry=lambda attempt, error: 0.0 if attempt < 2 else None)
    def call(name: str) -> None:
        actions.put(name)
        if len(trail) < 2:
            raise LookupError

    call("a")
    call("b")
    assert [entry.state for entry in journal.transactions()] == ["rolled back", "committed", "committed"]


def test_a_savepoint_cannot_have_a_journal_that_its_transaction_has_not(journal: Journal) -> None:
    with transaction(journal=journal), transaction(journal=journal):
        actions.put("a")
    with (
        transaction(),
        pytest.raises(IllegalOperation, match="outermost transaction"),
        transaction(journal=journal),
    ):
        actions.put("b")
    with transaction(), transaction(journal=journal, independent=True):
        actions.put("c")
    assert trail == ["+a", "+c"]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"durability": "none"}, ValueError, "'power' or 'process'"),
        ({"redact": "card"}, TypeError, "several names"),
        ({"durability": "process"}, ValueError, "another durability"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    journal: Journal, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        Journal(journal.path, **options)


def test_a_journal_is_a_journal_or_a_path() -> None:
    with pytest.raises(TypeError, match="a Journal or the path of one"):
        transaction(journal=3)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]


SCRIPT = """
import os, sys
from actionqueues import action, transaction
from actionqueues.journal import Journal

@action
def put(name):
    print("+", name)

@put.rollback
def take(name):
    print("-", name)

if __name__ == "__main__":
    journal = Journal("actions.db")
    for one in journal.recover():
        print(one)
    with transaction(journal=journal):
        put("a")
        sys.stdout.flush()
        os._exit(0)
"""


def run(folder: Path, *command: str) -> list[str]:
    import actionqueues

    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(actionqueues.__file__).parent.parent)},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("command", [("job.py",), ("-m", "job")])
def test_the_actions_of_a_script_are_found_when_it_recovers_or_is_imported(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "job.py").write_text(SCRIPT)
    assert run(tmp_path, *command) == ["+ a"]
    assert run(tmp_path, *command) == ["- a", "1 transaction: rolled back, 1 undone", "+ a"]
    recover = ("-m", "actionqueues", "recover", "actions.db")
    assert run(tmp_path, *recover)[0].startswith("2 transaction: stuck, job:put: no action is called")
    assert run(tmp_path, *recover, "--import", "job")[0] == "- a"


def test_a_module_is_recorded_by_its_name() -> None:
    assert module_name("tests.journal") == "tests.journal"
