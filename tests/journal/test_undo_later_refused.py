"""What cannot be undone later is refused before anything has happened, with the culprit and the way out."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actionqueues import CommitHookFailed, IllegalOperation, action, transaction
from actionqueues.journal import Journal
from actionqueues.journal.store import Store

from . import actions
from .actions import failing, trail
from .leaving import died, edit, leave
from .test_lost_handlers import without
from .undoings import Undo, committed, undone, undone_async

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked")
both = pytest.mark.parametrize("undo", [undone, undone_async])


def refusal(journal: Journal, transaction: int = 1, undo: Undo = undone, **options: Any) -> str:
    """What is said, by undoing and by planning, with nothing changed."""
    before = [entry[:8] for entry in journal.transactions()]
    done = len(trail)
    with pytest.raises((IllegalOperation, LookupError)) as refused:
        undo(journal, transaction, **options)
    assert [entry[:8] for entry in journal.transactions()] == before
    assert len(trail) == done
    return str(refused.value)


@both
def test_an_unknown_number(path: Path, undo: Undo) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    for number in (2, 0, -1):
        assert refusal(journal, number, undo).endswith(f"there is no transaction {number}")


def test_one_that_was_pruned(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    journal.prune()
    wanted = "there is no transaction 1 any more: it was pruned, as all that ended longer ago than Journal(keep=...)"
    assert refusal(journal).endswith(wanted)


def test_one_that_is_running_here(path: Path) -> None:
    journal = Journal(path)
    with transaction(journal=journal):
        actions.put("a")
        told = refusal(journal)
    assert told.startswith(
        f"cannot undo transaction 1 in {str(path)!r}: this process is running it; raise an exception"
    )


@forks
def test_one_that_another_process_is_running(path: Path) -> None:
    Journal(path).open().close()
    ready, gone = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        with transaction(journal=path):
            actions.put("a")
            os.write(ready[1], b"x")
            os.read(gone[0], 1)
            os.kill(os.getpid(), 9)
    os.read(ready[0], 1)
    try:
        assert "a live process is running it; raise an exception in its block" in refusal(Journal(path))
    finally:
        os.write(gone[1], b"x")
        died(pid)
    assert "it is open, and nobody works on it any more; recover it, which undoes it" in refusal(Journal(path))
    for each in (*ready, *gone):
        os.close(each)


def test_one_that_was_rolled_back(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(LookupError), transaction(journal=journal):
        actions.put("a")
        raise LookupError
    assert "it is rolled back; nothing of it is left to be undone" in refusal(journal)


def test_one_that_was_undone_already(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    journal.undo(1, by="ada", reason="wrong")
    told = refusal(journal)
    assert f"it was undone at {journal.show(1).ended} UTC, by ada: wrong; to have it again, call again" in told


def test_one_that_is_stuck_in_a_rollback_or_in_an_undo(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    failing["-a"] = OSError("not now")
    journal.undo(1, by="ada")
    told = refusal(journal)
    assert "it is stuck, by ada: tests.journal.actions:put: OSError('not now'); recover it again once" in told
    with pytest.raises(LookupError), transaction(journal=journal):
        actions.put("a")
        raise LookupError
    assert "it is stuck: tests.journal.actions:put" in refusal(journal, 2)


def test_one_that_has_met_a_conflict(path: Path) -> None:
    journal = committed(path, lambda q: actions.contested("a"))
    journal.undo(1)
    told = refusal(journal)
    assert "it is stuck, by " in told
    assert "a person decides: resolve its steps (journal.resolve, actionqueues resolve), or abandon it" in told


def test_one_whose_durable_hooks_are_still_to_be_called(path: Path) -> None:
    journal = Journal(path)
    seen: list[str] = []
    failing["!x True"] = OSError("not now")
    with pytest.raises(CommitHookFailed), transaction(journal=journal) as q:
        q.on_commit(lambda: seen.append(refusal(journal)))
        q.on_commit(actions.tell, "x")
        actions.put("a")
    assert "a live process is calling its commit hooks; undo it once they have been called" in seen[0]
    assert "durable hooks of it are still to be called; recover it, or resolve these hooks" in refusal(journal)


def test_one_that_is_being_undone(path: Path) -> None:
    seen: list[str] = []
    journal = committed(path, lambda q: q.on_rollback(actions.by_hand, "a"))
    before = actions.note

    def note(text: str) -> None:
        before(text)
        seen.append(refusal(journal))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(actions, "note", note)
        journal.undo(1, by="ada")
    assert "a live process is undoing it, by ada; nothing more is needed" in seen[0]
    assert journal.show(1).state == "undone later"


def test_who_comes_a_moment_too_late_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    write = Store.write_guarded

    def late(self: Store, work: Any, *, sync: bool) -> None:
        monkeypatch.setattr(Store, "write_guarded", write)
        journal.undo(1, by="ada")
        self.write_guarded(work, sync=sync)

    monkeypatch.setattr(Store, "write_guarded", late)
    with pytest.raises(IllegalOperation, match="it was undone at .* by ada"):
        journal.undo(1)
    assert trail == ["-a"]
    assert journal.store.recovering == set()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE transactions SET name = x'ff'", "it is damaged: name is X'FF'; mend that row first: sqlite3 FILE"),
        ("UPDATE transactions SET requested = 7.5", None),
        ("UPDATE transactions SET plain_hooks = x'00'", "it is damaged: plain_hooks is X'00'"),
        ("UPDATE steps SET key = x'00'", "it is damaged: step 1: key is X'00'"),
        ("UPDATE steps SET fingerprint = x'00'", "it is damaged: step 1: fingerprint is X'00'"),
        ("UPDATE hooks SET key = x'00'", "it is damaged: hook 1: key is X'00'"),
    ],
)
def test_one_with_a_damaged_row(path: Path, change: str, told: str | None) -> None:
    journal = committed(path, lambda q: (actions.put("a"), q.on_commit(actions.tell, "x")))
    edit(path, change)
    journal = Journal(path)
    assert (told or "this cannot be undone: commit hook") in refusal(journal)


def test_a_handler_that_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    without(monkeypatch, actions.put)
    assert "step 1 put: put had the undo take when it ran, and has none in this program" in refusal(journal)
    assert journal.undo(1, partly=True).state == "stuck"


def test_the_way_out_is_one_for_what_has_committed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery would not do anything about it, and nobody could resolve it yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    journal = committed(path, lambda q: actions.put("a.txt"))
    monkeypatch.chdir("/")
    assert "use --chdir, in a program chdir=True, or do it from there; to undo the rest" in refusal(journal)
    monkeypatch.chdir(tmp_path)
    without(monkeypatch, actions.put)
    told = refusal(journal)
    assert "use the version that ran it, or give it its undo again, or, once this is stuck, undo it by hand and" in told
    assert journal.undo(1, partly=True).state == "stuck"
    assert journal.resolve(1, 1, undone=True).state == "undone later"


def test_an_action_that_this_program_does_not_know(path: Path) -> None:
    committed(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET name = 'shop.jobs:put'")
    told = "no action is called 'shop.jobs:put'; import the module that defines it (--import shop.jobs)"
    assert told in refusal(Journal(path))


def test_a_result_that_is_not_recorded(path: Path) -> None:
    journal = committed(path, lambda q: actions.create("a"))
    edit(path, "UPDATE steps SET result = NULL")
    journal = Journal(path)
    assert "step 1 create: the undo of create needs 'result', which was no plain data" in refusal(journal)


@action(timeout=0.01)
async def wait() -> str:
    await asyncio.sleep(60)
    return ""


@wait.rollback
def forget(result: str) -> None:
    trail.append(f"-{result}")


@action(timeout=0.01)
async def wait_for(name: str) -> str:
    await asyncio.sleep(60)
    return name


@wait_for.rollback
def forget_it(result: str) -> None:
    trail.append(f"-{result}")


@wait_for.landed
def look_for(name: str) -> str:
    actions.note(f"?{name}")
    return name


def given_up(path: Path, wanted: Callable[[], Awaitable[str]]) -> Journal:
    """A transaction has committed whose second step was given up after its time-out."""

    async def main() -> None:
        async with transaction(journal=path):
            actions.put("a")
            with pytest.raises(TimeoutError):
                await wanted()

    asyncio.run(main())
    trail.clear()
    return Journal(path)


def test_a_step_that_was_given_up_and_whose_undo_needs_the_result(path: Path) -> None:
    journal = given_up(path, wait)
    why = "nobody knows whether it has happened, and its undo needs its result"
    assert f"this cannot be undone: step 2 {__name__}:wait: {why}; to".replace(f"{__name__}:", "") in refusal(journal)
    one = journal.undo(1, partly=True)
    assert (one.state, one.reason, trail) == ("stuck", f"{__name__}:wait: {why}", ["-a"])
    assert journal.show(1).steps[1].reason == why


def test_a_step_that_was_given_up_and_that_a_probe_looks_for(path: Path) -> None:
    failing["?b"] = OSError("not now")
    journal = given_up(path, lambda: wait_for("b"))
    failing.clear()
    assert journal.undo_plan(1).complete
    assert (journal.undo(1).state, trail) == ("undone later", ["?b", "-b", "-a"])


def test_data_that_nobody_can_read(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    edit(path, 'UPDATE steps SET arguments = \'{"name": {"$class": "nowhere:Thing"}}\'')
    journal = Journal(path)
    assert "step 1 put: the undo of put needs 'name': it cannot be read" in refusal(journal)


def test_an_irreversible_step(path: Path) -> None:
    @action(irreversible=True, name="tests.send")
    def send() -> None: ...

    journal = committed(path, lambda q: send())
    assert "step 1 tests.send: it is irreversible" in refusal(journal)


def test_more_problems_than_a_message_holds(path: Path) -> None:
    journal = committed(path, lambda q: [q.on_commit(len, "") for _ in range(30)] and actions.put("a"))
    assert "; … and 10 more, see undo_plan(); to undo the rest all the same" in refusal(journal)


@pytest.mark.parametrize("plain", ["nothing", "{}", "[" * 100_000])
def test_hooks_that_somebody_has_written_over(path: Path, plain: str) -> None:
    committed(path, lambda q: actions.put("a"))
    edit(path, "UPDATE transactions SET plain_hooks = ?", plain)
    assert "commit hooks that are not durable: whether there was any" in refusal(Journal(path))


@pytest.mark.parametrize("options", [{"by": 7}, {"reason": b"why"}])
def test_a_name_or_a_reason_that_is_no_text(path: Path, options: Any) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    (name,) = options
    with pytest.raises(TypeError, match=rf"journal\.undo\({name}=\.\.\.\) takes a text, not "):
        journal.undo(1, **options)


def test_an_old_file_is_undone_once_somebody_has_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .test_older_files import write_old_file

    write_old_file(tmp_path / "old.db")
    journal = Journal(tmp_path / "old.db")
    told = "commit hooks that are not durable: whether there was any, the version that wrote this did not record"
    assert refusal(journal).count(told) == 1
    assert (journal.undo(1, partly=True).state, trail) == ("undone later", ["-a"])
    journal.close()


def test_an_old_file_does_not_tell_whether_a_step_had_an_undo(tmp_path: Path) -> None:
    from .test_older_files import STEP, write_old_file

    write_old_file(tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as db:
        db.execute(STEP, (1, 2, "irreversible", "{}", "done", "null", "key 9"))
    with Journal(tmp_path / "old.db") as journal:
        told = "step 2 irreversible: nothing undoes it: it has no rollback handler; whether it had one when it ran"
        assert told in refusal(journal)


@forks
def test_what_a_dead_process_has_left_is_recovered_and_not_undone(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    assert "it is open, and nobody works on it any more; recover it, which undoes it" in refusal(Journal(path))


def test_nothing_is_imported_for_it(path: Path) -> None:
    module = ModuleType("undone_shop")
    exec("from actionqueues import action\n@action\ndef sell(): ...\nsell.rollback(lambda: None)", vars(module))
    sys.modules["undone_shop"] = module
    journal = committed(path, lambda q: module.sell())
    del sys.modules["undone_shop"]
    vars(module).clear()
    assert "undone_shop:sell" in refusal(journal)
    assert "undone_shop" not in sys.modules
