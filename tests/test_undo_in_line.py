"""`action(fn, undo=g)`: an action of what exists already, with its undo, in one expression."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Retry, action, transaction

from .world import Boom


def undone(step: Callable[[], object]) -> None:
    with pytest.raises(Boom) as caught, transaction():
        step()
        raise Boom
    assert not hasattr(caught.value, "__notes__")


def test_what_the_system_has_becomes_an_action(tmp_path: Path) -> None:
    path = tmp_path / "made"
    make = action(os.mkdir, undo=os.rmdir)
    with transaction():
        make(path)
    assert path.is_dir()
    undone(lambda: action(os.rmdir, undo=os.mkdir)(path))
    assert path.is_dir()
    undone(lambda: make(tmp_path / "other", mode=0o700))
    assert not (tmp_path / "other").exists()
    assert repr(make) == "<action mkdir(path, mode, *, dir_fd), undone by rmdir>"


def test_an_undo_that_asks_for_the_result_leaves_what_was_there_before(tmp_path: Path) -> None:
    def make(undo: Callable[..., object]) -> None:
        with pytest.raises(FileExistsError), transaction():
            action(os.mkdir, undo=undo)(tmp_path / "there")

    def remove_made(path: str, result: None) -> None:
        os.rmdir(path)

    (tmp_path / "there").mkdir()
    make(remove_made)
    assert (tmp_path / "there").is_dir()
    make(os.rmdir)  # it may have been made by the step, for all that anybody knows
    assert not (tmp_path / "there").exists()


def test_the_handler_is_given_what_it_names_as_any_handler() -> None:
    given: list[Any] = []

    def undo(card: str, result: str, cause: BaseException) -> None:
        given.append((card, result, type(cause)))

    def undo_all(result: str, *rest: object) -> None:
        given.append((result, rest))

    def charge(card: str, amount: int) -> str:
        return f"{amount} from {card}"

    undone(lambda: action(charge, undo=undo)("c1", 9))
    undone(lambda: action(charge, undo=undo_all)("c2", amount=3))
    assert given == [("c1", "9 from c1", Boom), ("3 from c2", ("c2", 3))]


def test_it_goes_with_the_other_options_and_over_a_def_too() -> None:
    calls: list[int] = []

    @action(undo=calls.clear, retry=Retry(attempts=3, wait_initial=0, wait_jitter=0), name="flaky")
    def body() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise Boom

    with transaction():
        body()
    assert repr(body) == "<action flaky(), undone by list.clear>"
    assert len(calls) == 3
    undone(body)
    assert calls == []


NAMELESS: list[tuple[Any, str, str, tuple[Any, ...]]] = [
    ([], "append", "remove", (1,)),
    ([], "append", "pop", (1,)),
    ([], "insert", "pop", (0, 1)),
    (set(), "add", "discard", (1,)),
    ({}, "__setitem__", "pop", ("a", 1)),
    ({}, "__setitem__", "__delitem__", ("a", 1)),
    ({}, "setdefault", "pop", ("a",)),
]


@pytest.mark.parametrize(("thing", "do", "undo", "args"), NAMELESS)
def test_something_built_in_whose_names_nobody_can_use_is_given_the_arguments_by_position(
    thing: Any, do: str, undo: str, args: tuple[Any, ...]
) -> None:
    undone(lambda: action(getattr(thing, do), undo=getattr(thing, undo))(*args))
    assert len(thing) == 0
    with transaction():
        action(getattr(thing, do), undo=getattr(thing, undo))(*args)
    assert len(thing) == 1


def test_names_that_people_have_chosen_have_to_fit() -> None:
    def remove(target: str) -> None: ...

    for undo, name in ((os.unlink, "path"), (remove, "target"), (partial(os.unlink), "path")):
        with pytest.raises(TypeError, match=f"asks for '{name}', which cannot be supplied; name a parameter 'src', "):
            action(os.symlink, undo=undo)


def test_one_that_needs_more_than_there_is_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be supplied"):
        action(list[int]().pop, undo=list[int]().insert)


@pytest.mark.parametrize("undo", [3, "rmdir"])
def test_what_is_no_function_is_refused(undo: Any) -> None:
    with pytest.raises(TypeError, match=r"mkdir\.rollback takes a function, not "):
        action(os.mkdir, undo=undo)


def test_none_is_no_undo() -> None:
    assert repr(action(os.mkdir, undo=None)).endswith("no rollback handler>")


@pytest.mark.parametrize("option", ["irreversible", "read_only"])
def test_what_cannot_be_undone_or_needs_not_has_none(option: str) -> None:
    options: dict[str, Any] = {option: True}
    with pytest.raises(TypeError, match=f"is declared {option}=True, so it can have no rollback handler"):
        action(os.mkdir, undo=os.rmdir, **options)


def test_an_async_one_undoes_an_async_one_and_no_other() -> None:
    trail: list[str] = []

    async def do() -> None:
        trail.append("do")

    async def undo() -> None:
        await asyncio.sleep(0)
        trail.append("undo")

    async def main() -> None:
        async with transaction():
            await action(do, undo=undo)()
            raise Boom

    with pytest.raises(Boom):
        asyncio.run(main())
    assert trail == ["do", "undo"]
    with pytest.raises(TypeError, match="is async, but"):
        action(os.mkdir, undo=undo)


def test_a_method_of_a_class_may_be_given_in_its_body() -> None:
    class Shelf:
        def __init__(self) -> None:
            self.books: list[str] = []

        def _put(self, book: str) -> None:
            self.books.append(book)

        def _take(self, book: str) -> None:
            self.books.remove(book)

        put = action(_put, undo=_take)

    shelf: Any = Shelf()
    undone(lambda: shelf.put("a"))
    assert shelf.books == []
