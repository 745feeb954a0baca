"""Recovery beside a program, in a thread or a task: whatever goes wrong in a round, the next one comes."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actionqueues import IllegalOperation, transaction
from actionqueues.journal import Journal, RecoverEvery

from . import actions
from .actions import failing, note, trail
from .leaving import leave, leave_async
from .rounds import FORMS, began, go, held, in_thread, states, until
from .test_recovery import put_both

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

Form = Callable[..., None]


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def form(request: pytest.FixtureRequest) -> Form:
    began.clear()
    go.clear()
    made: Form = request.param
    return made


def test_what_is_left_is_recovered_at_once_and_what_was_stuck_later(form: Form, path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    leave(path, lambda q: actions.put("b"))
    failing["-a"] = OSError("not now")

    def script(_: object) -> None:
        until(lambda: trail.count("-a") > 1)
        assert states(path) == ["stuck", "rolled back"]
        failing.clear()
        until(lambda: states(path) == ["rolled back", "rolled back"])

    form(Journal(path), script)
    assert trail.count("-b") == 1
    assert Journal(path).recover() == []


def test_handlers_that_need_an_event_loop_are_given_one(form: Form, path: Path) -> None:
    leave_async(path, put_both)

    def script(_: object) -> None:
        until(lambda: states(path) == ["rolled back"])

    form(Journal(path), script)
    assert trail == ["-b done", "-a"]


ENDS = [SystemExit(3), asyncio.CancelledError(), BaseExceptionGroup("two", [SystemExit(1)])]


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
def test_what_a_handler_raises_ends_neither_the_round_nor_the_next_one(
    form: Form, error: BaseException, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "actionqueues")
    leave(path, lambda q: actions.put("a"))
    leave(path, lambda q: actions.put("b"))
    failing["-a"] = error

    def script(_: object) -> None:
        until(lambda: trail.count("-a") > 2)
        failing.clear()
        until(lambda: states(path) == ["rolled back", "rolled back"])

    form(Journal(path), script)
    assert trail[:2] == ["-a", "-b"]
    told = [text for text in caplog.messages if "its recovery was ended by" in text]
    assert len(told) == 1, "and not once each round"
    assert "transaction 1, 'left'" in told[0]
    assert "the next round tries it again" in told[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_in_a_thread_that_holds_for_what_ends_the_main_thread_or_a_generator(error: BaseException, path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    failing["-a"] = error

    def script(_: object) -> None:
        until(lambda: trail.count("-a") > 1)
        failing.clear()
        until(lambda: states(path) == ["rolled back"])

    in_thread(Journal(path), script)


def test_a_resource_that_ends_the_program_ends_a_round(form: Form, path: Path) -> None:
    leave(path, lambda q: actions.store(object(), "a"), resources={"db": object})
    failing["connect"] = SystemExit("no database")

    def connect() -> str:
        note("connect")
        return "db"

    def script(_: object) -> None:
        until(lambda: trail.count("connect") > 2)
        failing.clear()
        until(lambda: states(path) == ["rolled back"])

    form(Journal(path, resources={"db": connect}), script)


def test_the_same_failure_is_logged_once_and_another_one_again(
    form: Form, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "actionqueues")
    leave(path, lambda q: actions.put("a"))
    failing["-a"] = OSError("first")

    def script(_: object) -> None:
        until(lambda: trail.count("-a") > 2)
        failing["-a"] = OSError("second")
        count = len(trail)
        until(lambda: len(trail) > count + 2)
        failing["-a"] = OSError("first")
        count = len(trail)
        until(lambda: len(trail) > count + 2)

    form(Journal(path), script)
    told = [text.partition(": ")[2] for text in caplog.messages]
    assert told == [f"the undo of put failed: OSError('{which}')" for which in ("first", "second", "first")]
    Journal(path).recover()
    assert len(caplog.messages) == 4, "what no round logs is logged each time"


def test_a_file_that_is_locked_meanwhile_is_told_once_and_recovered_later(
    form: Form, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "actionqueues")
    leave(path, lambda q: actions.put("a"))
    journal = Journal(path, busy_timeout=0.001)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as db:

        def script(every: Any) -> None:
            until(lambda: "locked" in every._rounds.problem)
            rounds = every._rounds._said
            until(lambda: every._rounds._said is not rounds and "locked" in every._rounds.problem)
            db.execute("ROLLBACK")
            until(lambda: states(path) == ["rolled back"])

        journal.store.owner  # noqa: B018 - its row cannot be written either
        db.execute("BEGIN IMMEDIATE")
        form(journal, script)
    assert [text for text in caplog.messages if "locked" not in text] == []
    assert len(caplog.messages) == 1


def test_a_round_that_finds_nothing_writes_nothing_and_does_not_read_the_whole_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    with transaction(journal=journal):
        journal.store.owner  # noqa: B018 - its row is written once
        monkeypatch.setattr(journal.store, "check", lambda: note("check"))

        def commit(what: object) -> None:
            note("write")

        monkeypatch.setattr(journal.store, "commit", commit)
        seen: list[object] = []

        def script(every: Any) -> None:
            for _ in range(3):
                seen.append(every._rounds._said)
                until(lambda: every._rounds._said is not seen[-1])
            assert every._rounds.problem == ""

        in_thread(journal, script)
    assert trail == []


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e12, "30", True, None, timedelta(0)])
def test_what_is_no_time_is_refused(seconds: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="takes a number of seconds above 0, such as 30, and not"):
        Journal(path).recover_every(seconds)
    assert not path.exists()


def test_it_takes_a_timedelta_and_says_what_it_is(path: Path) -> None:
    every = Journal(path).recover_every(timedelta(minutes=2))
    assert repr(every) == f"<recover_every(120) of <Journal {str(path)!r}>>"
    assert type(every) is RecoverEvery


def test_each_is_entered_once(form: Form, path: Path) -> None:
    used: list[Any] = []
    form(Journal(path), used.append)
    advice = "it has been entered already; call journal.recover_every\\(\\) again, for another one"
    with pytest.raises(IllegalOperation, match=advice), used[0]:
        raise AssertionError

    async def again() -> None:
        with pytest.raises(IllegalOperation, match=advice):
            async with used[0]:
                raise AssertionError

    asyncio.run(again())


def in_child(work: Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_forked_child_enters_one_of_its_own(path: Path) -> None:
    every = Journal(path).recover_every(30)

    def work() -> None:
        with pytest.raises(IllegalOperation, match=r"made in process \d+, which this one was forked from; call"), every:
            raise AssertionError

    in_child(work)


def test_one_that_was_not_entered_is_not_left(path: Path) -> None:
    every = Journal(path).recover_every(30)
    with pytest.raises(
        IllegalOperation, match="cannot leave <recover_every.*: it has not been entered; use it as a with"
    ):
        every.__exit__()
    with pytest.raises(IllegalOperation, match="it has not been entered"):
        asyncio.run(every.__aexit__())


def test_what_was_made_before_a_fork_is_not_entered_after_it_and_not_waited_for(path: Path) -> None:
    every = Journal(path).recover_every(30)
    every._process += 1
    with pytest.raises(IllegalOperation, match="forked from"), every:
        raise AssertionError
    every.__exit__()
    asyncio.run(every.__aexit__())


def test_a_forked_child_leaves_that_of_its_parent_alone(path: Path) -> None:
    leave(path, lambda q: held("a"))

    def script(every: RecoverEvery) -> None:
        assert began.wait(30)
        in_child(lambda: every.__exit__())
        in_child(lambda: asyncio.run(every.__aexit__()))
        go.set()

    began.clear()
    go.clear()
    in_thread(Journal(path), script)
    assert states(path) == ["rolled back"]


def test_it_does_not_belong_to_the_block_that_it_is_entered_in(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))

    async def main() -> None:
        with pytest.raises(LookupError):
            async with transaction("around", journal=path), Journal(path).recover_every(0.005):
                await asyncio.to_thread(until, lambda: trail == ["-a"])
                actions.put("b")
                raise LookupError

    asyncio.run(main())
    assert trail == ["-a", "+b", "-b"]
    assert states(path) == ["rolled back", "rolled back"]
