"""What seldom happens: interrupts in a commit, functions that tell nothing, exceptions of classes that are gone."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actionqueues import IllegalOperation, action, transaction
from actionqueues.journal import Journal, JournalError, RecordedError, Serializer
from actionqueues.journal.modules import module_name
from actionqueues.journal.values import Missing, Values, readable

from . import actions
from .actions import trail
from .leaving import edit, leave, recovered


@pytest.fixture
def values(path: Path) -> Values:
    return Values(str(path), Serializer(), {}, ())


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert readable("x" * 5000) == "x" * 4000 + "... (5000 characters)"
    assert readable("a\0b\ud800") == "a\\0b\\ud800"


class Picky(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")
        self.first = first


class Unmakable(Exception):
    def __new__(cls, *_: object) -> Unmakable:
        if cls.refuses:
            raise TypeError
        return super().__new__(cls)

    refuses = False


def test_an_exception_comes_back_without_its_constructor(values: Values) -> None:
    again = values.read_error(values.error(Picky("a", "b")))
    assert (type(again), str(again), vars(again)) == (Picky, "a and b", {"first": "a"})
    again = values.read_error(values.error(FileNotFoundError(2, "no such", "file")))
    assert isinstance(again, FileNotFoundError)
    assert (again.errno, again.filename) == (2, "file")


def test_an_exception_that_cannot_be_made_again_is_its_text(values: Values) -> None:
    recorded = values.error(Unmakable("x"))
    Unmakable.refuses = True
    try:
        assert isinstance(values.read_error(recorded), RecordedError)
    finally:
        Unmakable.refuses = False
    for name in ("gone:Gone", "tests.journal.actions:trail", "tests.journal.actions:Shop"):  # gone, and no exceptions
        again = values.read_error(f'{{"type": "{name}", "text": "Gone(1)"}}')
        assert (type(again), str(again)) == (RecordedError, "Gone(1)")


def test_what_is_missing_says_why(values: Values) -> None:
    assert repr(Missing("it is secret")) == "<missing: it is secret>"
    assert values.read_value('{"$redacted": "card"}').reason == "'card' is kept out of the file (redact)"


def test_arguments_of_a_function_that_tells_no_parameters_are_recorded_too(values: Values) -> None:
    assert values.call(dict.fromkeys, ([1], 2), {}, "x") == "[[[1], 2], {}]"
    assert values.call(max, (1, 2), {}, "x") == "[[1, 2], {}]"


def test_resources_and_secrets_are_found_among_any_arguments(path: Path) -> None:
    journal = Journal(path, resources={"db": object}, redact=("card",))
    with transaction(journal=journal):
        anything(1, db=object(), card="4111")
    assert journal.show(1).steps[0].arguments == (
        '{"args": {"$tuple": [1]}, "kwargs": {"db": {"$resource": "db"}, "card": {"$redacted": "card"}}}'
    )


@action
def anything(*args: Any, **kwargs: Any) -> None: ...


@anything.rollback
def undo_anything(*args: Any, **kwargs: Any) -> None:
    trail.append(f"-{args} {kwargs}")


def test_a_handler_that_takes_everything_needs_everything(path: Path) -> None:
    leave(path, lambda q: anything(1, card="4111"), redact=("card",))
    assert "needs 'kwargs': 'card' is kept out" in (recovered(path).reason or "")
    edit(path, "UPDATE steps SET arguments = replace(arguments, '{\"$redacted\": \"card\"}', '2')")
    assert recovered(path).state == "rolled back"
    assert trail == ["-(1,) {'card': 2}"]


def test_a_parameter_that_is_new_has_its_default(path: Path) -> None:
    leave(path, lambda q: grown("a"))
    edit(path, 'UPDATE steps SET arguments = \'{"name": "a"}\'')
    assert recovered(path).state == "rolled back"
    assert trail == ["-a new 3 () {}"]


@action
def grown(name: str, added: str = "new", *rest: int, only: int = 3, **more: int) -> None: ...


@grown.rollback
def ungrown(name: str, added: str, rest: Any, only: int, more: Any) -> None:
    trail.append(f"-{name} {added} {only} {rest} {more}")


def test_a_result_that_was_no_plain_data_and_is_needed_now_leaves_it_stuck(path: Path) -> None:
    leave(path, lambda q: actions.create("a"))
    edit(path, "UPDATE steps SET result = NULL")
    assert "needs 'result', which was no plain data" in (recovered(path).reason or "")
    edit(path, "UPDATE steps SET result = '{\"$nonsense\": 1}'")
    assert "needs 'result': it cannot be read" in (recovered(path).reason or "")


def test_an_object_that_is_gone_leaves_it_stuck(path: Path) -> None:
    leave(path, lambda q: (q.add(actions.Copy("a")), q.execute()))
    edit(path, "UPDATE steps SET arguments = replace(arguments, 'Copy', 'Gone')")
    assert "Gone, which is not there" in (recovered(path).reason or "")


def test_a_step_that_does_not_ask_is_refused_by_resolve(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.contested("b")))
    recovered(path)
    with pytest.raises(IllegalOperation, match="it is undone; there is nothing to decide"):
        Journal(path).resolve(1, 1, undone=True)


@pytest.mark.parametrize("fails", [False, True])
def test_an_interrupted_start_leaves_a_step_that_was_never_run(fails: bool, path: Path) -> None:
    """Its intent is on disk, and then Ctrl-C keeps its body from starting."""
    import signal

    from actionqueues.journal.store import Store

    write = Store.write
    journal = Journal(path)
    assert journal.store.owner

    def pressed(self: Store, work: Any, *, sync: bool) -> None:
        write(self, work, sync=sync)
        Store.write = write  # type: ignore[method-assign] # once
        signal.raise_signal(signal.SIGINT)

    with suppress(LookupError), transaction(journal=journal):
        actions.put("a")
        Store.write = pressed  # type: ignore[method-assign] # put back by itself
        with pytest.raises(KeyboardInterrupt):
            actions.put("b")
        if fails:
            raise LookupError
    assert trail == (["+a", "-a"] if fails else ["+a"])
    entry = journal.show(1)
    assert entry.state == ("rolled back" if fails else "committed")
    undo = "undone" if fails else None
    assert [(step.state, step.undo) for step in entry.steps] == [("done", undo), ("never run", None)]


def test_a_third_ctrl_c_leaves_the_rest_to_recovery(path: Path) -> None:
    import signal

    def press() -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), transaction(journal=path):
        actions.put("a")
        pressing(press)
        raise LookupError
    assert Journal(path).show(1).reason == "a third Ctrl-C has cut the rollback short"
    assert recovered(path).state == "rolled back" or trail[-1] == "-a"
    assert trail == ["+a", "-a"]


def pressing(press: Any) -> None:
    presses.append(press)
    pressed()


presses: list[Any] = []


@action
def pressed() -> None: ...


@pressed.rollback
def unpressed() -> None:
    while presses:
        presses.pop()()


def test_a_program_without_a_file_is_called_main(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    assert module_name("__main__") == "__main__"


def test_a_journal_that_is_broken_does_not_keep_a_service_from_forgetting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    monkeypatch.setattr("actionqueues.journal.journal._EVERY", 1)

    def refuse(*_: object) -> None:
        raise JournalError(str(path), "broken")

    monkeypatch.setattr("actionqueues.journal.journal.prune", refuse)
    with transaction(journal=journal):
        actions.put("a")
    assert journal.transactions()[0].state == "committed"
    assert repr(journal) == f"<Journal {str(path)!r}>"


def test_a_child_has_a_connection_and_an_owner_of_its_own(path: Path) -> None:
    journal = Journal(path)
    mine = journal.store.owner
    pid = os.fork()
    if pid == 0:
        theirs = journal.store.owner
        os._exit(0 if theirs != mine and not journal.store.locks.hold(mine) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
