"""Functions that make context managers: calling one runs nothing yet, so it is no step, undo, hook or block."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from actionqueues import ActionQueue, action, transaction

trail: list[str] = []


@contextmanager
def folder() -> Generator[None, None, None]:
    trail.append("never")
    yield


@asynccontextmanager
async def connection() -> AsyncGenerator[None, None]:
    trail.append("never")
    yield


class Files:
    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        trail.append("never")
        yield


MANAGERS: dict[str, Any] = {
    "folder": folder,
    "connection": connection,
    "Files.locked": Files().locked,
    "partial": functools.partial(folder),
}


def fresh() -> action[[], None]:
    def make() -> None: ...

    return action(make)


def add(fn: Any) -> object:
    return ActionQueue().add(fn)


def add_to_block(fn: Any) -> None:
    with transaction() as q:
        q.add(fn)


def register_a_hook(fn: Any) -> None:
    with transaction() as q:
        q.on_commit(fn)


def register_an_undo(fn: Any) -> None:
    with transaction() as q:
        q.on_rollback(fn)


USES: dict[str, tuple[Callable[[Any], object], str]] = {
    "action": (
        action,
        (
            "{} is a context manager: calling it would run nothing; make an action of what is done for each item, or "
            "on entering"
        ),
    ),
    "handler": (
        lambda fn: fresh().rollback(fn),
        "the rollback handler {} of make is a context manager: calling it would run nothing; make it a plain function",
    ),
    "transaction": (
        transaction,
        "{} is a context manager: calling it would run nothing; open the block inside it",
    ),
    "queue": (add, "{} is a context manager: calling it would run nothing; use a plain function"),
    "add": (add_to_block, "{} is a context manager: calling it would run nothing; use a plain function"),
    "hook": (register_a_hook, "{} is a context manager: calling it would run nothing; use a plain function"),
    "undo": (register_an_undo, "{} is a context manager: calling it would run nothing; use a plain function"),
}


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("use", USES)
def test_a_context_manager_is_refused_where_calling_it_would_run_nothing(use: str, manager: str) -> None:
    made, told = USES[use]
    with pytest.raises(TypeError) as caught:
        made(MANAGERS[manager])
    assert str(caught.value) == told.format("folder" if manager == "partial" else manager)
    assert trail == []


def test_a_context_manager_may_call_steps_and_open_the_block() -> None:
    done: list[str] = []

    @action
    def create(name: str) -> None:
        done.append(name)

    @create.rollback
    def remove(name: str) -> None:
        done.remove(name)

    @contextmanager
    def shop() -> Generator[None, None, None]:
        with transaction():
            create("open")
            yield

    with pytest.raises(KeyError), shop():
        create("sold")
        raise KeyError
    assert done == []
    with shop():
        create("sold")
    assert done == ["open", "sold"]
