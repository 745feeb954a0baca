"""The generated frames: what a traceback shows of them, how often they are made, and that no name does any harm."""

from __future__ import annotations

import gc
import linecache
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

import pytest

from actionqueues import Step, action, transaction
from actionqueues.core import frames


class Boom(Exception):
    """What the steps of these tests raise."""


def generated(error: BaseException) -> list[traceback.FrameSummary]:
    """What the traceback of an exception shows of generated frames."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<actionqueues:")]


def frame_locals(error: BaseException) -> list[dict[str, Any]]:
    """The local variables of the generated frames in the traceback of an exception."""
    found: list[dict[str, Any]] = []
    link: TracebackType | None = error.__traceback__
    while link is not None:
        if link.tb_frame.f_code.co_filename.startswith("<actionqueues:"):
            found.append(dict(link.tb_frame.f_locals))
        link = link.tb_next
    return found


def fail(hotel: str, nights: int = 2) -> None:
    raise Boom(hotel, nights)


def raised_by(step: Callable[..., Any], *args: Any, **kwargs: Any) -> Boom:
    with pytest.raises(Boom) as caught, transaction():
        step(*args, **kwargs)
    return caught.value


# ---- tracebacks


def test_a_traceback_shows_the_source_of_a_generated_frame() -> None:
    step = action(fail)
    (frame,) = generated(raised_by(step, "Ritz"))
    assert frame.filename == "<actionqueues: a step (p0, p1)>"
    assert frame.line == "result = record[0] = body(p0, p1)"


def test_the_source_survives_a_check_of_the_line_cache() -> None:
    step = action(fail)
    raised_by(step, "Ritz")
    linecache.checkcache()
    gc.collect()
    (frame,) = generated(raised_by(step, "Ritz"))
    assert frame.line == "result = record[0] = body(p0, p1)"


@pytest.mark.parametrize("order", [(False, True), (True, False)], ids=["plain first", "retried first"])
def test_a_traceback_shows_the_line_that_ran_whatever_was_decorated_in_between(order: tuple[bool, bool]) -> None:
    frames.caller.cache_clear()
    steps = {retried: action(retry=(lambda attempt, error: None) if retried else None)(fail) for retried in order}
    for retried in (False, True):
        (frame,) = generated(raised_by(steps[retried], "Ritz"))
        assert frame.line == "result = record[0] = body(p0, p1)"


def test_the_traceback_of_a_handler_begins_with_that() -> None:
    def succeed(hotel: str, nights: int = 2) -> None: ...

    def undo(hotel: str, nights: int) -> None:
        raise OSError

    def undo_by_keyword(hotel: str, *, nights: int) -> None:
        raise OSError

    def undo_with_step(step: Step[Any]) -> None:
        raise OSError

    for handler in (undo, undo_by_keyword, undo_with_step):
        step = action(succeed)
        step.rollback(handler)
        with pytest.raises(ZeroDivisionError), transaction() as q:
            step("Ritz")
            raise ZeroDivisionError
        (failure,) = q.report.failures
        assert [frame.name for frame in traceback.extract_tb(failure.error.__traceback__)] == [handler.__name__]


def test_the_traceback_of_a_handler_that_is_not_written_in_python_shows_its_call(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), transaction() as q:
        action(os.mkdir, undo=os.rmdir)(tmp_path / "made")
        (tmp_path / "made").rmdir()
        raise ZeroDivisionError
    (failure,) = q.report.failures
    assert [frame.line for frame in generated(failure.error)] == ["return handler(record[2], k0=record[4])"]


def test_a_later_attempt_shows_its_source_too() -> None:
    @action(retry=lambda attempt, error: 0 if attempt < 2 else None)
    def book(hotel: str, *rest: int, late: bool = False, **wishes: str) -> None:
        raise Boom(hotel)

    (frame,) = generated(raised_by(book, "Ritz"))
    assert (frame.name, frame.line) == ("book", "return again(log, record)()")


def test_the_variables_of_a_frame_are_the_parameters_by_their_own_names() -> None:
    @action
    def book(log: str, record: int = 2, *, error: str) -> None:
        raise Boom

    (variables,) = frame_locals(raised_by(book, "Ritz", error="e"))
    assert (variables["log"], variables["record"], variables["error"]) == ("Ritz", 2, "e")
    own = {name for name in variables if name.startswith(".")}
    assert {".log", ".record"} <= own
    parameters_and_cells = set(variables) - own
    assert parameters_and_cells >= {"log", "record", "error"}


# ---- compiled once


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is compiled in this test, from empty caches on."""
    names: list[str] = []

    def counting(source: str, filename: str, mode: str) -> CodeType:
        names.append(filename)
        code: CodeType = compile(source, filename, mode)
        return code

    frames.caller.cache_clear()
    frames._undo_code.cache_clear()
    monkeypatch.setattr(frames, "compile", counting, raising=False)
    return names


def test_each_shape_of_a_signature_is_compiled_once(compiled: list[str]) -> None:
    def other(first: object, second: object = None) -> None: ...

    def keyword(first: object, *, second: object = None) -> None: ...

    def undo(result: object) -> None: ...

    functions: list[Callable[..., Any]] = [fail, other, fail]
    for function in functions:
        action(function).rollback(undo)
    assert compiled == [
        "<actionqueues: a step (p0, p1)>",
        "<actionqueues: an undo (record[0])>",
    ]
    action(keyword)
    assert compiled[2:] == ["<actionqueues: a step (p0, *, k0)>"]
    action(keyword)
    assert len(compiled) == 3


def test_what_shares_compiled_code_shares_no_names_and_no_defaults(compiled: list[str]) -> None:
    def first(a: int, *, b: int = 1) -> tuple[int, int]:
        return a, b

    def second(x: int, *, y: int = 2) -> tuple[int, int]:
        return x, y

    one, two = action(first), action(second)
    assert len(compiled) == 1
    with transaction():
        assert (one(a=0), two(x=0), one(0, b=5), two(0, y=6)) == ((0, 1), (0, 2), (0, 5), (0, 6))
        with pytest.raises(TypeError, match="unexpected keyword argument 'y'"):
            one(0, y=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - wrong on purpose


def test_a_frame_has_any_number_of_parameters() -> None:
    names = [f"parameter{i}" for i in range(400)]
    namespace: dict[str, Any] = {}
    exec(f"def wide({', '.join(names[:200])}, *, {', '.join(names[200:])}): return locals()", namespace)
    exec(f"def unwide({', '.join(names)}): undone.append(locals())", namespace)
    undone: list[dict[str, int]] = []
    namespace["undone"] = undone
    step: action[..., Any] = action(namespace["wide"])
    step.rollback(namespace["unwide"])
    arguments = {name: number for number, name in enumerate(names)}
    with transaction() as q:
        assert step(**arguments) == arguments
        q.rollback()
    assert undone == [arguments]


# ---- names

HOSTILE = {
    "quotes": "\"'\"\"\"'''",
    "newline": "x\n    raise SystemExit\n",
    "code": "x): raise SystemExit #",
    "format": "{parameters} {0} %s %d",
    "unicode": "naïve 名前 \N{PILE OF POO}",
    "surrogate": "\udc80",
    "empty": "",
    "nul": "\0",
    "backslash": "\\",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("attribute", ["__name__", "__qualname__"])
def test_no_name_of_a_function_does_any_harm(attribute: str, kind: str) -> None:
    name = HOSTILE[kind]

    def book(hotel: str) -> str:
        return hotel

    def unbook(hotel: str) -> None:
        undone.append(hotel)

    undone: list[str] = []
    for function in (book, unbook):
        setattr(function, attribute, name)
    step = action(book)
    step.rollback(unbook)
    assert getattr(step, attribute) == name
    with transaction() as q:
        assert step("Ritz") == "Ritz"
        with pytest.raises(TypeError):
            step()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - wrong on purpose
        q.rollback()
    assert undone == ["Ritz"]
    if attribute == "__qualname__":
        assert q.report.undone == [name]


ODD_NAMES = ["a b", "class", "1", ".0", "x): raise SystemExit #", "a\nb", "'", "\udc80"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_no_name_of_a_parameter_does_any_harm(name: str) -> None:
    def book(hotel: str, nights: int = 2) -> tuple[str, int]:
        return hotel, nights

    book.__code__ = book.__code__.replace(co_varnames=(name, "nights"))
    undone: list[tuple[Any, ...]] = []

    def unbook(step: Step[Any]) -> None:
        undone.append(step.args)

    step = action(book)
    step.rollback(unbook)
    assert step("Ritz") == ("Ritz", 2)
    with transaction() as q:
        assert step("Ritz", 3) == ("Ritz", 3)
        assert step("Ritz", nights=4) == ("Ritz", 4)
        q.rollback()
    assert len(undone) == 2
    assert undone[1] == ("Ritz", 3)


def test_names_that_the_parser_normalizes_are_found_under_the_normal_form() -> None:
    namespace: dict[str, Any] = {"undone": []}
    exec("def book(ﬁrst, *, x): return first, x", namespace)
    exec("def unbook(x, *, ﬁrst): undone.append((x, first))", namespace)
    step: action[..., Any] = action(namespace["book"])
    step.rollback(namespace["unbook"])
    with transaction() as q:
        assert step(first=1, x=2) == (1, 2)
        q.rollback()
    assert namespace["undone"] == [(2, 1)]
