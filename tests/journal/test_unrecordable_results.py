"""A step that has done its work, and whose result is no plain data, is undone at once, with that result, and once."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Retry, Step, TransactionDoomed, action, current_step, transaction
from actionqueues.journal import Journal, NotRecordable

from . import actions
from .actions import failing, trail
from .leaving import die, leave, recovered

opened: list[socket.socket] = []
AGAIN = Retry(attempts=3, wait_initial=0, wait_jitter=0)


def connection() -> socket.socket:
    made = socket.socket()
    opened.append(made)
    return made


def all_closed() -> bool:
    return all(each.fileno() == -1 for each in opened)


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    opened.clear()
    yield
    for each in opened:
        each.close()


@action
def connect() -> socket.socket:
    return connection()


@connect.rollback
def disconnect(result: socket.socket) -> None:
    result.close()


@action(retry=AGAIN)
def connect_patiently() -> socket.socket:
    return connection()


@connect_patiently.rollback
def disconnect_patient(step: Step[socket.socket]) -> None:
    step.result.close()


@action
def connect_deeply() -> socket.socket:
    return connection()


@connect_deeply.rollback
def disconnect_deep(step: Step[socket.socket]) -> None:
    def close() -> None:
        step.result.close()

    close()


@action
def connect_and_save() -> None:
    current_step().save(sock=connection())


@connect_and_save.rollback
def close_what_was_saved(step: Step[None]) -> None:
    step.saved["sock"].close()


@action(retry=AGAIN)
def connect_and_swallow() -> str:
    try:
        current_step().save(sock=connection())
    except NotRecordable:
        trail.append("swallowed")
    return "fine"


@connect_and_swallow.rollback
def close_what_was_swallowed(step: Step[str]) -> None:
    step.saved["sock"].close()


@action
def connect_and_put_away() -> None:
    current_step().saved["sock"] = connection()


@connect_and_put_away.rollback
def close_what_was_put_away(step: Step[None]) -> None:
    step.saved["sock"].close()


@action
def connect_stubbornly() -> socket.socket:
    return connection()


@connect_stubbornly.rollback
def disconnect_stubborn(result: socket.socket) -> None:
    raise OSError("not now")


@action
async def connect_async() -> socket.socket:
    await asyncio.sleep(0)
    return connection()


@connect_async.rollback
async def disconnect_async(result: socket.socket) -> None:
    await asyncio.sleep(0)
    result.close()


@action(retry=AGAIN)
async def connect_patiently_async() -> socket.socket:
    await asyncio.sleep(0)
    return connection()


@connect_patiently_async.rollback
def disconnect_patient_async(step: Step[socket.socket]) -> None:
    step.result.close()


@action
async def connect_and_save_async() -> None:
    current_step().save(sock=connection())


@connect_and_save_async.rollback
async def close_what_was_saved_async(step: Step[None]) -> None:
    step.saved["sock"].close()


class Pool:
    """Its subclass asks for what it does not ask for itself."""

    def __actionqueues_reference__(self) -> int:
        return 1

    @action
    def take(self) -> socket.socket:
        return connection()

    @take.rollback
    def give_back(self) -> None:
        trail.append("given back")


class ClosingPool(Pool):
    def give_back(self, result: socket.socket) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride] - a handler is given what it names
        result.close()


class BrokenPool(Pool):
    give_back = 3  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] - no handler at all


@action
def use(sock: Any) -> None:
    trail.append("used")


SYNC = [connect, connect_patiently, connect_deeply, connect_and_save, connect_and_swallow, connect_and_put_away]
ASYNC = [connect_async, connect_patiently_async, connect_and_save_async]


@pytest.mark.parametrize("step", [*SYNC, ClosingPool().take], ids=lambda step: step.__name__)
def test_it_is_undone_at_once_with_what_it_has_made_and_not_tried_again(step: Any, path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(NotRecordable, match=r"'(result|sock)' of .*socket"), transaction(journal=journal) as q:
        actions.put("a")
        try:
            step()
        finally:
            assert (len(opened), all_closed(), trail[:1]) == (1, True, ["+a"])
    assert trail[-1] == "-a"
    assert (q.state, q.report.clean) == ("rolled back", True)
    rows = journal.show(1)
    assert (rows.state, [row.undo for row in rows.steps]) == ("rolled back", ["undone", "undone"])
    assert "cannot record" in (rows.steps[1].error or "")


@pytest.mark.parametrize("step", [*SYNC, *ASYNC], ids=lambda step: step.__name__)
def test_so_it_is_in_an_async_block(step: Any, path: Path) -> None:
    async def main() -> Any:
        async with transaction(journal=path) as q:
            made = step()
            if step in ASYNC:
                await made
        return q

    with pytest.raises(NotRecordable, match=r"'(result|sock)' of .*socket"):
        asyncio.run(main())
    assert (len(opened), all_closed()) == (1, True)


@pytest.mark.parametrize("step", SYNC, ids=lambda step: step.__name__)
def test_who_catches_it_as_the_type_error_that_it_is_commits_nothing_of_the_step(step: Any, path: Path) -> None:
    with transaction(journal=path) as q:
        actions.put("a")
        try:
            step()
        except TypeError:
            actions.put("b")
    assert (q.state, len(opened), all_closed()) == ("committed", 1, True)
    assert [entry.state for entry in Journal(path).transactions()] == ["committed"]


def test_who_catches_it_where_the_undo_fails_commits_nothing_at_all(path: Path) -> None:
    with pytest.raises(TransactionDoomed), transaction(journal=path) as q:
        actions.put("a")
        with pytest.raises(NotRecordable):
            connect_stubbornly()
    assert (q.state, trail) == ("rolled back with failures", ["+a", "-a"])
    assert [entry.state for entry in Journal(path).transactions()] == ["stuck"]


@pytest.mark.parametrize("step", SYNC, ids=lambda step: step.__name__)
def test_a_decorated_function_is_not_called_again_for_it(step: Any, path: Path) -> None:
    @transaction(retry=AGAIN, journal=path)
    def job() -> None:
        step()

    with pytest.raises(NotRecordable):
        job()
    assert (len(opened), all_closed()) == (1, True)


@pytest.mark.parametrize("step", ASYNC, ids=lambda step: step.__name__)
def test_an_async_function_is_not_called_again_for_it_in_a_group_either(step: Any, path: Path) -> None:
    @transaction(retry=AGAIN, journal=path)
    async def job() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(step())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(job())
    assert caught.group_contains(NotRecordable)
    assert (len(opened), all_closed()) == (1, True)


def test_other_errors_of_a_group_are_tried_again(path: Path) -> None:
    @transaction(retry=AGAIN, journal=path)
    def job() -> None:
        trail.append("tried")
        raise ExceptionGroup("several", [OSError()])

    with pytest.raises(ExceptionGroup):
        job()
    assert trail == ["tried"] * 3


def test_a_queued_step_fails_so_too_and_those_behind_it_never_start(path: Path) -> None:
    with pytest.raises(NotRecordable, match="'result' of connect"), transaction(journal=path) as q:
        made = q.add(connect)
        later = q.add(use, made)
    assert (made.state, later.state, trail, all_closed()) == ("undone", "dropped", [], True)


def test_a_result_that_is_passed_on_is_refused_by_the_name_of_the_argument(path: Path) -> None:
    with pytest.raises(NotRecordable, match="'sock' of use"), transaction(journal=path) as q:
        q.add(use, q.add(connection))
    assert trail == []


def test_a_thread_that_comes_in_is_told_and_its_step_undone(path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool, transaction(journal=path) as q:
        with pytest.raises(NotRecordable):
            pool.submit(q.run, connect).result()
        assert all_closed()
    assert q.state == "committed"


def test_a_result_that_no_undo_reads_may_be_anything(path: Path) -> None:
    with transaction(journal=path) as q:
        Pool().take()
    assert (q.state, trail, all_closed()) == ("committed", [], False)


def test_an_override_that_cannot_be_called_asks_for_nothing(path: Path) -> None:
    with transaction(journal=path) as q:
        BrokenPool().take()
    assert q.state == "committed"


def test_a_result_that_the_disk_has_no_room_for_is_undone_with_it_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)

    def full(work: Any, *, sync: bool) -> None:
        if not sync:
            raise OSError("full")
        type(journal.store).write(journal.store, work, sync=sync)

    with pytest.raises(OSError, match="full"), transaction(journal=journal):
        actions.put("a")
        monkeypatch.setattr(journal.store, "write", full)
        actions.create("b")
    monkeypatch.undo()
    assert trail == ["+a", "+b", "-id of b", "-a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_who_dies_while_it_is_undone_leaves_it_stuck(path: Path) -> None:
    def body(q: Any) -> None:
        actions.put("a")
        connect_to_die()

    leave(path, body)
    assert [step.state for step in Journal(path).show(1).steps] == ["done", "done"]
    one = recovered(path)
    assert (one.state, trail) == ("stuck", ["-a"])
    assert "the undo of connect_to_die needs 'result', which was no plain data" in (one.reason or "")


@action
def connect_to_die() -> socket.socket:
    return connection()


@connect_to_die.rollback
def die_disconnecting(result: socket.socket) -> None:
    die()


def test_the_message_names_the_ways_out(path: Path) -> None:
    with pytest.raises(NotRecordable) as result, transaction(journal=path):
        connect()
    assert str(result.value).endswith(
        "cannot record 'result' of connect: it is, or contains, a socket.socket. Give plain data that identify it; or "
        "let the journal know it, Journal(..., serializer=...)"
    )
    with pytest.raises(NotRecordable) as argument, transaction(journal=path):
        use(connection())
    assert str(argument.value).endswith("or keep it out of the file: Journal(..., resources={'sock': make_it})")


def test_the_undo_may_ask_why(path: Path) -> None:
    failing.clear()
    with pytest.raises(NotRecordable) as caught, transaction(journal=path):
        connect_and_tell()
    assert trail == [repr(caught.value)]


@action
def connect_and_tell() -> socket.socket:
    return connection()


@connect_and_tell.rollback
def disconnect_and_tell(result: socket.socket, error: BaseException) -> None:
    trail.append(repr(error))
    result.close()
