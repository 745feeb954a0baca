"""What is logged, and that logging never gets in the way of undoing."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from actionqueues import ActionQueue, action, transaction

from .scripted import Boom, Scripted, Trail

LOGGER = logging.getLogger("actionqueues")


@action
def step(trail: Trail, name: str) -> None:
    trail.append(f"do {name}")


@step.rollback
def unstep(trail: Trail, name: str) -> None:
    trail.append(f"undo {name}")
    raise PermissionError(name)


class Broken(logging.Filter):
    """As one is that looks for something that records of other libraries have not got."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.request_id)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]


@pytest.fixture
def broken() -> Iterator[None]:
    made = Broken()
    LOGGER.addFilter(made)
    yield
    LOGGER.removeFilter(made)


@pytest.mark.usefixtures("broken")
def test_a_filter_that_raises_replaces_no_exception_and_stops_no_undo(capsys: pytest.CaptureFixture[str]) -> None:
    trail: Trail = []
    error = Boom()
    with pytest.raises(Boom) as caught, transaction("order") as q:
        step(trail, "a")
        step(trail, "b")
        raise error
    assert caught.value is error
    assert trail == ["do a", "do b", "undo b", "undo a"]
    assert [str(failure.error) for failure in q.report.failures] == ["b", "a"]
    assert [note.rpartition(": ")[2] for note in error.__notes__] == ["PermissionError('b')", "PermissionError('a')"]
    told = capsys.readouterr().err
    assert told.count("--- Logging error ---") == 2
    assert "no attribute 'request_id'" in told
    assert "Message: \"order: the undo of step failed: PermissionError('b')\"" in told


@pytest.mark.usefixtures("broken")
def test_nor_does_it_come_out_of_the_rollback_of_a_queue(capsys: pytest.CaptureFixture[str]) -> None:
    trail: Trail = []
    error = Boom()
    queue = ActionQueue()
    queue.add(Scripted("a", trail, rollback=[error]))
    queue.execute()
    queue.rollback()
    assert queue.state == "rollback complete"
    assert [failure.error for failure in queue.report.failures] == [error]
    assert "--- Logging error ---" in capsys.readouterr().err
