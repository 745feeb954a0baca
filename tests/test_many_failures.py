"""Thousands of things that go wrong are told shortly: all of them are in the report, and in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import ActionQueue, CommitHookFailed, RollbackFailed, TransactionDoomed, action, transaction

from .scripted import Boom, Scripted

MANY = 2000


@action
def put(name: int) -> None:
    """Put it there."""


@put.rollback
def take(name: int) -> None:
    raise PermissionError(name)


@action
def mail(name: int) -> None:
    """Nothing undoes this."""


def notes_after(body: Callable[[Any], object]) -> tuple[list[str], Any]:
    with pytest.raises(Boom) as caught, transaction("order") as q:
        body(q)
        raise Boom
    return caught.value.__notes__, q.report


def put_all(count: int = MANY) -> None:
    for name in range(count):
        put(name)


def test_2000_failing_undos_make_ten_notes_and_the_last_says_how_many_more_there_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes, report = notes_after(lambda _: put_all())
    first = [f"actionqueues: the undo of put failed: PermissionError({name})" for name in range(1999, 1989, -1)]
    assert notes == [*first[:-1], f"{first[-1]} … and 1 990 more, see q.report"]
    assert (len(report.failures), len(caplog.records)) == (MANY, MANY)
    assert len(report.summary) < 1000
    assert report.summary.endswith(" … and 1 990 more")


def test_ten_are_all_named() -> None:
    notes, _ = notes_after(lambda _: put_all(10))
    assert len(notes) == 10
    assert not any("more" in note for note in notes)


def test_what_was_left_is_one_line_of_the_ten(caplog: pytest.LogCaptureFixture) -> None:
    def both(_: Any) -> None:
        put_all(11)
        for name in range(MANY):
            mail(name)

    notes, report = notes_after(both)
    left = f"not undone: {', '.join(['mail (no rollback handler)'] * 10)} … and 1 990 more"
    assert notes[0] == f"actionqueues: {left}"
    assert len(notes) == 10
    assert notes[-1].endswith(" … and 2 more, see q.report")
    assert len(report.left) == MANY + 11
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [f"order: {left}"]


def test_failures_in_savepoints_are_told_with_all_others_in_ten_notes() -> None:
    def nested(q: Any) -> None:
        for _ in range(3):
            with pytest.raises(Boom), q.savepoint():
                put_all(8)
                raise Boom

    notes, report = notes_after(nested)
    assert len(notes) == 10
    assert notes[-1].endswith(" … and 14 more, see q.report")
    assert len(report.failures) == 24


def test_an_error_that_is_told_in_a_savepoint_is_told_anew_by_the_block_around_it() -> None:
    with pytest.raises(Boom) as caught, transaction() as q:
        put_all(8)
        with q.savepoint():
            put_all(8)
            raise Boom
    assert len(caught.value.__notes__) == 10
    assert caught.value.__notes__[-1].endswith(" … and 6 more, see q.report")


def test_an_explicit_rollback_raises_a_group_with_a_short_text() -> None:
    with pytest.raises(RollbackFailed) as caught, transaction("order") as q:
        put_all()
        q.rollback()
    assert caught.value.message == (
        f"the transaction 'order': everything else was rolled back, but not {', '.join(['put'] * 10)} … and 1 990 more"
    )
    assert len(caught.value.exceptions) == MANY
    assert not hasattr(caught.value, "__notes__")


def test_commit_hooks_likewise() -> None:
    def hook(number: int) -> None:
        raise Boom(number)

    with pytest.raises(CommitHookFailed) as caught, transaction("order") as q:
        for number in range(MANY):
            q.on_commit(hook, number)
    assert caught.value.message.endswith("hook … and 1 990 more")
    assert len(caught.value.exceptions) == MANY
    assert q.report.summary.endswith(" … and 1 990 more")
    assert len(q.report.summary) < 2000


def test_a_doomed_transaction_likewise() -> None:
    with pytest.raises(TransactionDoomed) as caught, transaction() as q, pytest.raises(Boom), q.savepoint():
        put_all()
        raise Boom
    text = str(caught.value)
    assert f"{', '.join(['put'] * 10)} … and 1 990 more; see q.report.failures" in text
    assert len(caught.value.steps) == MANY


def test_a_queue_likewise() -> None:
    queue = ActionQueue()
    for number in range(MANY):
        queue.add(Scripted(str(number), [], rollback=[Boom(number)]))
    queue.execute()
    queue.rollback()
    assert len(queue.report.failures) == MANY
    assert queue.report.summary.endswith(" … and 1 990 more")
    assert len(repr(queue)) < 1000
