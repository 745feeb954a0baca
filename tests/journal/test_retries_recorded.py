"""Retries in the file: the attempts that failed, the results that did not do, and what recovery is given."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actionqueues import ActionRetryException, Retry, RetryError, Step, action, current_step, transaction
from actionqueues.journal import Journal

from .leaving import die, leave, recovered

told: list[Any] = []
calls: list[int] = []

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


def until(least: int) -> Retry:
    return Retry(attempts=3, wait_initial=0, wait_jitter=0, on_result=lambda value: value < least)


@pytest.fixture(autouse=True)
def afresh_too() -> None:
    told.clear()
    calls.clear()


@action(retry=until(99))
def poll() -> int:
    calls.append(1)
    return len(calls)


@poll.rollback
def unpoll(result: int, error: Exception | None) -> None:
    told.append((result, type(error)))
    if os.environ.get("ACTIONQUEUES_DIE"):
        die()


@action(retry=until(99))
async def poll_async() -> int:
    calls.append(1)
    return len(calls)


@poll_async.rollback
async def unpoll_async(result: int) -> None:
    told.append((result, RetryError))


def sync(path: Path) -> None:
    with transaction(journal=path):
        poll()


def in_a_loop(path: Path) -> None:
    async def main() -> None:
        async with transaction(journal=path):
            await poll_async()

    asyncio.run(main())


@pytest.mark.parametrize("way", [sync, in_a_loop])
def test_each_result_that_was_not_good_enough_is_an_attempt_that_failed(
    way: Callable[[Path], None], path: Path
) -> None:
    with pytest.raises(RetryError) as caught:
        way(path)
    assert (caught.value.result, caught.value.attempts) == (3, 3)
    (step,) = Journal(path).show(1).steps
    assert (step.state, step.undo, step.attempts, step.result) == ("failed", "undone", 3, "3")
    assert json.loads(step.error or "")["type"] == "actionqueues:RetryError"
    with closing(sqlite3.connect(path)) as db:
        errors = [row[0] for row in db.execute("SELECT error FROM attempts ORDER BY attempt")]
    assert [f"returned {number}" in error for number, error in enumerate(errors, 1)] == [True] * 3
    assert told == [(3, RetryError)]


@needs_fork
def test_a_recovery_gives_the_handler_the_result_and_the_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONQUEUES_DIE", "yes")
    leave(path, lambda q: poll())
    monkeypatch.delenv("ACTIONQUEUES_DIE")
    assert recovered(path).state == "rolled back"
    assert told == [(3, RetryError)]


class Response:
    ready = False


@action(retry=until(99))
def ask_response() -> Response:
    return Response()


@ask_response.rollback
def unask_response(result: Response) -> None:
    told.append(type(result))
    if os.environ.get("ACTIONQUEUES_DIE"):
        die()


@action(retry=until(99))
def ask_by_step() -> Response:
    return Response()


@ask_by_step.rollback
def unask_by_step(step: Step[Response]) -> None:
    told.append(type(step.result))
    if os.environ.get("ACTIONQUEUES_DIE"):
        die()


@needs_fork
@pytest.mark.parametrize("asks", [ask_response, ask_by_step])
def test_a_result_that_was_not_good_enough_and_is_not_in_the_file_is_not_made_up(
    asks: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RetryError), transaction(journal=path):
        asks()
    assert told == [Response]
    monkeypatch.setenv("ACTIONQUEUES_DIE", "yes")
    leave(path, lambda q: asks())
    monkeypatch.delenv("ACTIONQUEUES_DIE")
    told.clear()
    one = recovered(path)
    assert (one.state, told) == ("stuck", [])
    assert "was no plain data" in (one.reason or "")


@action
def notes_and_fails() -> None:
    current_step().saved["note"] = "kept"
    raise LookupError


@notes_and_fails.rollback
def reads_note(step: Step[None]) -> None:
    told.append(dict(step.saved))
    if os.environ.get("ACTIONQUEUES_DIE"):
        die()


@needs_fork
def test_what_a_failed_step_has_put_into_saved_is_in_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONQUEUES_DIE", "yes")
    leave(path, lambda q: notes_and_fails())
    monkeypatch.delenv("ACTIONQUEUES_DIE")
    assert (recovered(path).state, told) == ("rolled back", [{"note": "kept"}])


@action(retry=until(99))
def dies_later() -> int:
    if current_step().attempts == 2:
        die()
    return 1


@dies_later.rollback
def undo_later(step: Step[int], result: int = 0) -> None:
    told.append((step.has_result, result, step.attempts))


@needs_fork
def test_the_result_of_an_attempt_is_not_that_of_the_next_one(path: Path) -> None:
    leave(path, lambda q: dies_later())
    assert recovered(path).state == "rolled back"
    assert told == [(False, 0, 2)]


class Live:
    """No plain data."""

    ready = False


@action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0, on_result=lambda live: not live.ready))
def connects(connection: int) -> Live:
    calls.append(connection)
    live = Live()
    live.ready = len(calls) == 2
    return live


@connects.rollback
def disconnect(connection: int) -> None: ...


def test_a_result_that_is_no_plain_data_can_be_waited_for(path: Path) -> None:
    with transaction(journal=path):
        assert connects(1).ready
    assert Journal(path).show(1).steps[0].result is None


@action(retry=Retry(attempts=1))
def asks() -> None:
    try:
        raise LookupError("the real one")
    except LookupError as error:
        raise ActionRetryException(0) from error


@asks.rollback
def unask(error: Exception) -> None:
    told.append((type(error), error.args))
    if os.environ.get("ACTIONQUEUES_DIE"):
        die()


@needs_fork
def test_the_error_that_a_retry_was_asked_for_is_the_one_recorded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONQUEUES_DIE", "yes")
    leave(path, lambda q: asks())
    monkeypatch.delenv("ACTIONQUEUES_DIE")
    assert recovered(path).state == "rolled back"
    assert told == [(LookupError, ("the real one",))]


def test_that_one_is_what_the_file_tells(path: Path) -> None:
    with pytest.raises(LookupError), transaction(journal=path):
        asks()
    assert json.loads(Journal(path).show(1).steps[0].error or "")["type"] == "builtins:LookupError"
