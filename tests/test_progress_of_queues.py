"""``execute(progress=True)``: one transaction or queue shows how far it is, and nothing else does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actionqueues import ActionQueue, Retry, action, progress, transaction

from .scripted import Boom, Scripted, Trail, queue_of
from .world import Boom as Full


@action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
def upload(name: str, failed: list[str]) -> None:
    if name not in failed:
        failed.append(name)
        raise ConnectionError(name)


@upload.rollback
def remove(name: str) -> None:
    """Remove it."""


@action
def both(failed: list[str]) -> None:
    upload("inside", failed)


@both.rollback
def neither() -> None:
    """It is undone with what it has made."""


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1].partition(" in ")[0]


def test_a_block_shows_how_far_it_has_come(capsys: pytest.CaptureFixture[str]) -> None:
    failed: list[str] = []
    with transaction("mirror") as q:
        q.add(upload, "a", failed)
        q.add(both, failed)
        q.execute(progress=True)
        q.add(upload, "b", failed)  # from then on, all that is done in it is shown
        q.on_rollback(print)
        with q.savepoint():
            upload("c", ["c"])
        assert capsys.readouterr().err == ""
    assert last_line(capsys) == "mirror: committed; 4 steps"


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_it_is_shown_or_not(wrong: Any) -> None:
    trail: Trail = []
    queue: Any = queue_of(Scripted("a", trail))
    with pytest.raises(TypeError, match=r"execute\(progress=\.\.\.\) must be True or False, not "):
        queue.execute(progress=wrong)
    with transaction() as q:
        q.add(print, end="")
        with pytest.raises(TypeError, match=r"execute\(progress=\.\.\.\) must be True or False, not "):
            q.execute(progress=wrong)
    assert trail == []
    queue.execute()
    assert trail == ["do a"]


def test_a_block_that_fails_shows_its_way_back(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Full), transaction("mirror") as q:
        q.add(upload, "a", ["a"])
        q.add(print, end="")  # which nothing undoes
        q.execute(progress=True)
        raise Full
    assert last_line(capsys) == "mirror: rolled back; 2 steps, 1 undone"


def test_an_async_block_shows_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with transaction("mirror") as q:
            q.add(upload, "a", ["a"])
            await q.execute(progress=True)

    asyncio.run(main())
    assert last_line(capsys) == "mirror: committed; 1 step"


def test_where_nothing_is_queued_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with transaction() as q:
        q.execute(progress=True)
    assert capsys.readouterr().err == ""


def test_a_savepoint_ends_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    with transaction("mirror") as q:
        with q.savepoint("part") as part:
            part.add(upload, "a", ["a"])
            part.execute(progress=True)
        assert last_line(capsys) == "part: released; 1 step"
        upload("b", ["b"])


def test_inside_progress_it_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(), transaction("mirror") as q:
        q.add(upload, "a", ["a"])
        q.execute(progress=True)
    assert capsys.readouterr().err.count("mirror: committed") == 1


def test_a_classic_queue_shows_its_execution_and_its_rollback(capsys: pytest.CaptureFixture[str]) -> None:
    trail: Trail = []
    queue = queue_of(Scripted("a", trail), Scripted("b", trail, [Boom("b")]))
    execute = getattr(queue, "execute")  # noqa: B009 - to type checkers it has no such parameter
    with pytest.raises(Boom):
        execute(progress=True)
    assert last_line(capsys) == "action queue: stopped by an exception; 2 steps"
    queue.rollback()
    assert last_line(capsys) == "action queue: rolled back; 0 steps, 2 undone"


def test_a_classic_queue_that_succeeds_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    queue = ActionQueue()
    queue.add(Scripted("a", []))
    getattr(queue, "execute")(progress=True)  # noqa: B009 - likewise
    assert last_line(capsys) == "action queue: executed; 1 step"


def test_what_it_wraps_keeps_its_number(tmp_path: Path) -> None:
    with transaction("mirror", journal=tmp_path / "actions.db") as q:
        upload("a", ["a"])
        q.add(upload, "b", ["b"])
        q.execute(progress=True)
        assert q._block.watch is not None
        assert q._block.watch.id == 1
